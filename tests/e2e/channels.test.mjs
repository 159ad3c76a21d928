// Channels (spec 5, C-12, C-17) and POST /publish: greeting at /ws, subscribe and unsubscribe on any path, events to the
// subscribers on all workers of two hosts, every wrong field of both; token, body, method and length of the request.
// Not tested here: rooms and paths from clients (broadcast_exactly_once).
import test from 'node:test';
import assert from 'node:assert/strict';
import { Client, clientsOnEachWorker } from '../support/client.mjs';
import { startHeadgate } from '../support/headgate.mjs';
import { exchange, tcp } from '../support/http.mjs';
import { ownTopics, sharedKafka } from '../support/kafka.mjs';
import { ownerOfConnection } from '../support/proc.mjs';
import { startRedis } from '../support/redis.mjs';
import { waitFor } from '../support/wait.mjs';

const TOKEN = 'a token of the tests';

async function scene(t, hosts = 1, options = {}) {
  const kafka = await sharedKafka();
  const redis = hosts > 1 ? await startRedis() : undefined;
  const topics = await ownTopics(kafka.brokers);
  const s = { redis, hosts: [], clients: [] };
  t.after(async () => {
    for (const c of s.clients) c.terminate();
    for (const hg of s.hosts) if (hg.isRunning()) await hg.stop();
    await redis?.stop();
  });
  for (let i = 1; i <= hosts; i++) {
    s.hosts.push(await startHeadgate({
      name: `host${i}`, ip: `127.0.0.${i}`,
      options: {
        ...topics.headgate, host_id: `host${i}`, workers: 2, auth: 'trust', publish_token: TOKEN,
        ...(redis ? { backplane: 'redis', backplane_url: redis.url } : {}), ...options,
      },
    }));
  }
  s.open = async (hg, path = 'ws', more) => {
    const c = await Client.open(hg.url + path, more);
    s.clients.push(c);
    return c;
  };
  s.publish = (hg, body, token = TOKEN) => fetch(`${hg.http}/publish`, {
    method: 'POST', headers: { authorization: `Bearer ${token}` }, body: typeof body === 'string' ? body : JSON.stringify(body),
  });
  return s;
}

const events = (c) => c.messages.filter((m) => m.type === 'event');

async function subscribe(c, channel) {
  c.send({ type: 'subscribe', channel });
  await c.message((m) => m.status === 'subscribed' && m.channel === channel);
}

test('greeting at /ws; subscribe, unsubscribe, events; other paths and profiles', { timeout: 120000 }, async (t) => {
  const s = await scene(t);
  const [hg] = s.hosts;
  const c = await s.open(hg);
  const hello = await c.message({ status: 'connected' });
  assert.deepEqual(Object.keys(hello), ['status', 'connectionId']);
  assert.equal(c.messages[0], hello);
  const elsewhere = await s.open(hg, '');
  const v1 = await s.open(hg, '', { protocols: ['json'] });
  await elsewhere.message({ type: 'welcome' });
  const all = [c, elsewhere, v1];
  await Promise.all(all.map((x) => subscribe(x, 'files')));
  await subscribe(c, 'git');
  await subscribe(c, 'git'); // twice is once
  const answer = await s.publish(hg, { channel: 'files', data: { file: 'a.c', event: 'change' } });
  assert.equal(answer.status, 200);
  assert.deepEqual(await answer.json(), { delivered: 3, relayed: false });
  await s.publish(hg, { channel: 'git', data: { type: 'commit', message: 'm', timestamp: 5 } });
  await waitFor(() => events(c).length >= 2 && [elsewhere, v1].every((x) => events(x).length >= 1), { what: 'the events' });
  const file = events(v1)[0];
  assert.deepEqual({ ...file, data: { ...file.data, timestamp: 0 } }, { type: 'event', channel: 'files', data: { file: 'a.c', event: 'change', timestamp: 0 } });
  assert.ok(Math.abs(file.data.timestamp - Date.now()) < 60000);
  assert.deepEqual(events(c).find((m) => m.channel === 'git').data, { type: 'commit', message: 'm', timestamp: 5 });

  c.send({ type: 'unsubscribe', channel: 'files' });
  await c.message({ status: 'unsubscribed', channel: 'files' });
  await s.publish(hg, { channel: 'files', data: { last: true } });
  await waitFor(() => [elsewhere, v1].every((x) => events(x).length >= 2), { what: 'the last event' });
  await s.publish(hg, { channel: 'git', data: {} });
  await waitFor(() => events(c).length >= 3, { what: 'the event behind it' });
  assert.deepEqual(events(c).filter((m) => m.data.last), []);
});

test('wrong channel messages are answered and the connection lives', { timeout: 120000 }, async (t) => {
  const s = await scene(t, 1, { max_rooms: 3 });
  const c = await s.open(s.hosts[0]);
  const refused = async (message, code) => {
    const from = c.messages.length;
    c.send(message);
    assert.equal((await c.message({ op: 'error' }, { from })).code, code, JSON.stringify(message));
  };
  for (const type of ['subscribe', 'unsubscribe']) {
    for (const channel of [undefined, null, '', 5, true, {}, ['files']]) await refused({ type, channel }, 'bad_op');
    for (const channel of ['x'.repeat(257), 'a\nb']) await refused({ type, channel }, 'bad_op');
    await refused({ type, channel: 'files', op: 'nothing' }, 'bad_op'); // with an op it is an op's message
  }
  await subscribe(c, 'one');
  await refused({ type: 'subscribe', channel: 'two' }, 'too_many'); // all, the path and one are 3
  c.send({ type: 'unsubscribe', channel: 'never subscribed' });
  await c.message({ status: 'unsubscribed' });
  await c.ping();
});

test('events, rooms, paths and all reach the right clients of all workers and hosts once; tenants are walls', { timeout: 120000 }, async (t) => {
  const s = await scene(t, 2);
  const members = [];
  for (const hg of s.hosts) {
    const lists = [...(await clientsOnEachWorker(hg, 1, ownerOfConnection)).values()];
    members.push(...lists.map((list) => list[0]));
    s.clients.push(...lists.flat());
  }
  const stranger = await s.open(s.hosts[1], '', { headers: { 'x-tenant': 'other' } });
  const all = [...members, stranger];
  await Promise.all(all.map((c) => subscribe(c, 'search')));
  for (const c of all) c.send({ op: 'join', room: 'r' });
  await Promise.all(all.map((c) => c.message({ op: 'joined' })));
  const batch = [
    { channel: 'search', data: { n: 1 } },
    { room: 'r', text: '{"b":"room"}' },
    { path: '/', b64: Buffer.from('{"b":"bytes"}').toString('base64') },
    { all: true, text: '{"b":"all"}' },
  ];
  const bytes = new Map(s.clients.map((c) => [c, []]));
  for (const c of s.clients) c.rawBinary = (data) => bytes.get(c).push(data.toString());
  assert.equal((await s.publish(s.hosts[0], batch)).status, 200);
  assert.equal((await s.publish(s.hosts[1], { tenant: 'other', channel: 'search', data: { n: 2 } })).status, 200);
  const texts = (c) => c.messages.filter((m) => m.b !== undefined).map((m) => m.b);
  await waitFor(() => members.every((c) => texts(c).length >= 2 && bytes.get(c).length >= 1 && events(c).length >= 1) && events(stranger).length >= 1, { what: 'what was published' });
  await Promise.all(all.map((c) => c.ping()));
  for (const c of members) {
    assert.deepEqual(events(c).map((m) => m.data.n), [1]);
    assert.deepEqual(texts(c), ['room', 'all']);
    assert.deepEqual(bytes.get(c), ['{"b":"bytes"}']);
  }
  assert.deepEqual(events(stranger).map((m) => m.data.n), [2]);
  assert.deepEqual([...texts(stranger), ...bytes.get(stranger)], []);
});

test('B-33: a kind of our own on tina4:ws is dropped and counted', { timeout: 120000 }, async (t) => {
  const s = await scene(t, 2);
  const c = await s.open(s.hosts[0]);
  await subscribe(c, 'files');
  const pub = s.redis.client();
  t.after(() => pub.disconnect());
  const forged = { src: '00112233445566ff', kind: 'channel', exclude: null, room: 'files', path: null, text: '{"type":"event","n":"forged"}', tenant: 'demo' };
  await pub.publish('tina4:ws', JSON.stringify(forged));
  await waitFor(async () => await s.hosts[0].metric('headgate_backplane_malformed_total') > 0, { what: 'the count of the malformed' });
  await pub.publish('headgate:bus', JSON.stringify({ ...forged, text: '{"type":"event","n":"real"}' }));
  await pub.publish('headgate:bus', JSON.stringify({ ...forged, kind: 'count', room: 'x', text: 'y' }));
  await pub.publish('headgate:bus', 'no json');
  await waitFor(() => events(c).length > 0, { what: 'the event' });
  assert.deepEqual(events(c).map((m) => m.n), ['real']);
});

test('POST /publish: token, method, length, limits, and the place of each fault', { timeout: 120000 }, async (t) => {
  const s = await scene(t, 1, { max_message: '64k' });
  const [hg] = s.hosts;
  const c = await s.open(hg);
  await subscribe(c, 'files');
  const good = JSON.stringify({ channel: 'files', data: { good: 1 } });
  const request = (head, body = '') => exchange(hg.http, `POST /publish HTTP/1.1\r\nHost: x\r\n${head}\r\n${body}`);
  const auth = `Authorization: Bearer ${TOKEN}\r\n`;
  const length = (body) => `Content-Length: ${Buffer.byteLength(body)}\r\n`;

  for (const head of ['', 'Authorization: Bearer\r\n', 'Authorization: Bearer x\r\n', `Authorization: Bearer ${TOKEN}x\r\n`, `Authorization: Bearer ${TOKEN.slice(1)}\r\n`, `Authorization: Basic ${TOKEN}\r\n`, `Authorization: ${TOKEN}\r\n`]) {
    const a = await request(head + length(good), good);
    assert.equal(a.status, 401, head);
    assert.equal(a.headers['www-authenticate'], 'Bearer');
  }
  assert.match(hg.logText(), /warn .*publish\.refused peer=127\.0\.0\.1 /, 'who tries tokens is seen');
  assert.ok(!hg.logText().includes(TOKEN));
  for (const method of ['GET', 'PUT', 'DELETE']) {
    const a = await exchange(hg.http, `${method} /publish HTTP/1.1\r\nHost: x\r\n${auth}\r\n`);
    assert.deepEqual([a.status, a.headers.allow], [405, 'POST']);
  }
  assert.equal((await request(auth)).status, 411);
  assert.equal((await request(`${auth}Transfer-Encoding: chunked\r\n`, '0\r\n\r\n')).status, 411);
  assert.equal((await request(`${auth}Content-Length: 65537\r\n`)).status, 413);
  const faults = [
    ['', 'body: expected JSON'], ['{', 'body: expected JSON'], ['"x"', 'body: expected an object, or an array of objects'],
    ['{}', 'channel: expected this, or one of room, path, id, all'], [{ channel: 5, data: {} }, 'channel: expected a string'],
    [{ channel: '', data: {} }, 'channel: empty'], [{ channel: 'files' }, 'data: expected an object'], [{ channel: 'files', data: 'x' }, 'data: expected an object'],
    [{ room: 1, text: '' }, 'room: expected a string'], [{ path: [], text: '' }, 'path: expected a string'], [{ all: 'yes', text: '' }, 'all: expected true'],
    [{ room: 'r' }, 'text: expected this or b64'], [{ room: 'r', text: 1 }, 'text: expected a string'], [{ room: 'r', b64: '!' }, 'b64: expected base64'],
    [{ tenant: 'a|b', all: true, text: '' }, "tenant: '|' is not allowed"],
    [[{ channel: 'files', data: { good: 2 } }, { channel: 'files' }], '[1].data: expected an object'],
    [Array.from({ length: 1001 }, () => 1), 'body: expected at most 1000 messages'],
  ];
  for (const [body, error] of faults) {
    const a = await s.publish(hg, body);
    assert.deepEqual([a.status, await a.json()], [400, { error }], JSON.stringify(body).slice(0, 80));
  }
  assert.deepEqual(events(c), [], 'a batch with a fault is not sent at all');

  // Byte by byte, two requests on one connection, then one that waits to be asked for its body.
  const slow = await tcp(hg.http);
  const whole = `POST /publish HTTP/1.1\r\nHost: x\r\n${auth}${length(good)}\r\n${good}`;
  for (const byte of whole) await slow.write(byte);
  await slow.until(() => slow.text().includes('delivered'));
  await slow.write(whole + whole);
  await slow.until(() => slow.text().split('delivered').length === 4);
  await slow.write(whole.replace('Host: x', 'Host: x\r\nExpect: 100-continue').slice(0, -good.length));
  await slow.until(() => slow.text().includes('HTTP/1.1 100 Continue\r\n\r\n'));
  await slow.write(good);
  await slow.until(() => slow.text().split('delivered').length === 5);
  slow.destroy();
  await waitFor(() => events(c).length >= 4, { what: 'the events' });
  await c.ping();
  assert.deepEqual(events(c).map((m) => m.data.good), [1, 1, 1, 1]);
});

test('without publish_token there is no /publish', { timeout: 120000 }, async (t) => {
  const s = await scene(t, 1, { publish_token: '' });
  assert.equal((await s.publish(s.hosts[0], { all: true, text: 'x' })).status, 404);
  assert.equal((await s.publish(s.hosts[0], { all: true, text: 'x' }, '')).status, 404);
});
