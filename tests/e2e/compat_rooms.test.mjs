// The backplane's envelopes as other systems on tina4:ws write and read them, field by field, over Redis; a host that only listens;
// an own envelope that comes back; the six built-in channels; a client that is slow or gone among those who are served.
// Not tested here: once and in order (broadcast_exactly_once), NATS (backplane_nats), Redis that goes (redis_restart).
import test from 'node:test';
import assert from 'node:assert/strict';
import { Client } from '../support/client.mjs';
import { startHeadgate } from '../support/headgate.mjs';
import { startRedis } from '../support/redis.mjs';
import { waitFor } from '../support/wait.mjs';

const TOKEN = 'a token of the tests';

/** Hosts without Kafka on one Redis, a tap on tina4:ws and a stranger's voice there. */
async function scene(t, { hosts = 2, options = {}, env } = {}) {
  const s = { hosts: [], clients: [], envelopes: [] };
  t.after(async () => {
    for (const c of s.clients) c.terminate();
    for (const hg of s.hosts) if (hg.isRunning()) await hg.stop();
    s.tap?.disconnect();
    s.voice?.disconnect();
    await s.redis?.stop();
  });
  s.redis = await startRedis();
  s.tap = s.redis.client();
  s.voice = s.redis.client();
  await s.tap.subscribe('tina4:ws');
  s.tap.on('message', (_, text) => s.envelopes.push(text));
  for (let i = 1; i <= hosts; i++) {
    s.hosts.push(await startHeadgate({
      name: `host${i}`, ip: `127.0.0.${i}`, until: 'live', expectErrors: [/kafka/i], env: env?.(s.redis),
      options: {
        host_id: `host${i}`, workers: 1, kafka_brokers: '127.0.0.1:1', default_permissions: 'join,publish,publish_all', publish_token: TOKEN,
        ...(env ? {} : { backplane: 'redis', backplane_url: s.redis.url }), ...options,
      },
    }));
  }
  await Promise.all(s.hosts.map((hg) => waitFor(async () => await hg.metric('headgate_backplane_up') >= 1, { what: 'the backplane' })));
  s.open = async (hg, path = '', more) => {
    const c = await Client.open(hg.url + path, more);
    c.bytes = [];
    c.rawBinary = (data) => c.bytes.push(data.toString());
    s.clients.push(c);
    return c;
  };
  s.foreign = (fields) => s.voice.publish('tina4:ws', JSON.stringify({ src: '00112233445566ff', kind: 'all', exclude: null, room: null, path: null, ...fields }));
  return s;
}

const join = async (c, room) => {
  c.send({ op: 'join', room });
  await c.message({ op: 'joined', room });
};
const say = (b) => JSON.stringify({ b });
const heard = (c) => c.messages.filter((m) => m.b !== undefined).map((m) => m.b);

/** What came until an envelope for everyone, which is behind all others. */
async function end(s, clients) {
  const mark = `end ${Math.random()}`;
  await s.foreign({ text: say(mark) });
  await waitFor(() => clients.every((c) => heard(c).includes(mark)), { what: 'the last envelope' });
  return clients.map((c) => heard(c).filter((b) => !b.startsWith?.('end ')));
}

test('B-31: a host that has never broadcast hears from the start: of its siblings, and of other systems', { timeout: 60000 }, async (t) => {
  const s = await scene(t);
  const [speaker, listener] = [await s.open(s.hosts[0]), await s.open(s.hosts[1])];
  await join(listener, 'r');
  await s.foreign({ kind: 'room', room: 'r', text: say('of another system') });
  await waitFor(() => heard(listener).length === 1, { what: 'the stranger\'s' });
  speaker.send({ op: 'publish', room: 'r', text: say('of a sibling') });
  await waitFor(() => heard(listener).length === 2, { what: 'the sibling\'s' });
  assert.deepEqual(heard(listener), ['of another system', 'of a sibling']);
  assert.equal(s.envelopes.length, 2);
});

test('tina4 names alone are enough; each kind of envelope reaches whom it names, as bytes or text; what names nobody reaches nobody', { timeout: 60000 }, async (t) => {
  const s = await scene(t, { hosts: 1, env: (redis) => ({ TINA4_WS_BACKPLANE: 'redis', TINA4_WS_BACKPLANE_URL: redis.url }) });
  const [hg] = s.hosts;
  const [plain, chat, member] = [await s.open(hg), await s.open(hg, 'chat?x=1'), await s.open(hg)];
  await join(member, 'r');
  const id = (await member.message({ type: 'welcome' })).data.connectionId;
  await s.foreign({ text: say('all') });
  await s.foreign({ kind: 'path', path: '/chat', text: say('path') });
  await s.foreign({ kind: 'path', path: '/cha', text: say('no such path') });
  await s.foreign({ kind: 'path', path: null, text: say('no path') });
  await s.foreign({ kind: 'room', room: 'r', text: say('room') });
  await s.foreign({ kind: 'room', room: 'unknown', text: say('no such room') });
  await s.foreign({ kind: 'room', room: null, text: say('no room') });
  await s.foreign({ kind: 'something', text: say('unknown kind') });
  await s.foreign({ exclude: id, text: say('not the member') });
  await s.foreign({ text: say('text before b64'), b64: Buffer.from('b64').toString('base64') });
  await s.foreign({ b64: Buffer.from('bytes').toString('base64') });
  for (const bad of [{ text: 5 }, { text: null, b64: null }, {}, { b64: 7 }]) await s.foreign(bad);
  for (const bad of ['', 'null', '[]', '"x"', '{', '{"src":1,"kind":"all","text":"x"}']) await s.voice.publish('tina4:ws', bad);
  // As Python writes it: blanks behind separators, \u escapes.
  await s.voice.publish('tina4:ws', '{"src": "00112233445566ff", "kind": "all", "exclude": null, "room": null, "path": null, "text": "{\\"b\\": \\"\\u00e4\\"}"}');
  assert.deepEqual(await end(s, [plain, chat, member]), [
    ['all', 'not the member', 'text before b64', 'ä'], ['all', 'path', 'not the member', 'text before b64', 'ä'], ['all', 'room', 'text before b64', 'ä'],
  ]);
  for (const c of [plain, chat, member]) assert.deepEqual(c.bytes, ['bytes']);
  assert.ok(await hg.metric('headgate_backplane_malformed_total') >= 10);
});

test('paths are compared without the query of either side; a tenant that is no name is nobody\'s', { timeout: 60000 }, async (t) => {
  const s = await scene(t, { hosts: 1 });
  const [plain, chat] = [await s.open(s.hosts[0]), await s.open(s.hosts[0], 'chat?x=1')];
  await s.foreign({ kind: 'path', path: '/chat?token=of-tina4', text: say('envelope') });
  await waitFor(() => heard(chat).includes('envelope'), { what: 'the envelope' });
  plain.send({ op: 'publish', path: '/chat?y=2', text: say('op') });
  await waitFor(() => heard(chat).includes('op'), { what: 'the client\'s message' });
  const answer = await fetch(`${s.hosts[0].http}/publish`, { method: 'POST', headers: { authorization: `Bearer ${TOKEN}` }, body: JSON.stringify({ path: '/chat?', text: say('post') }) });
  assert.equal((await answer.json()).delivered, 1);
  const ours = await waitFor(() => s.envelopes.map((text) => JSON.parse(text)).find((e) => e.text === say('op')), { what: 'our envelope' });
  assert.equal(ours.path, '/chat?y=2', 'others compare it with its query');
  for (const tenant of [5, false, {}, ['demo']]) await s.foreign({ tenant, text: say('nobody\'s') });
  await s.foreign({ tenant: null, text: say('null') });
  assert.deepEqual(await end(s, [plain, chat]), [['null'], ['envelope', 'op', 'post', 'null']]);
});

test('other systems are of default_tenant: broadcasts of other tenants reach theirs on every host, and never tina4:ws', { timeout: 60000 }, async (t) => {
  const s = await scene(t, { options: { auth: 'trust', workers: 2 } });
  const as = (tenant) => ({ headers: { 'x-tenant': tenant } });
  const [a, b, c] = [await s.open(s.hosts[0], '', as('acme')), await s.open(s.hosts[1], '', as('acme')), await s.open(s.hosts[1])];
  for (const x of [a, b, c]) await join(x, 'r');
  const messages = [{ room: 'r' }, { path: '/' }, {}];
  for (const to of messages) a.send({ op: 'publish', ...to, text: say('acme') });
  await fetch(`${s.hosts[0].http}/publish`, { method: 'POST', headers: { authorization: `Bearer ${TOKEN}` }, body: JSON.stringify({ tenant: 'acme', room: 'r', text: say('acme') }) });
  await waitFor(() => [a, b].every((x) => heard(x).length === 4), { what: 'what was published to its tenant' });
  c.send({ op: 'publish', room: 'r', text: say('demo') });
  await waitFor(() => s.envelopes.length > 0, { what: 'an envelope of the default tenant' });
  assert.deepEqual(s.envelopes.map((text) => JSON.parse(text)).map((e) => [e.tenant, e.text]), [['demo', say('demo')]]);
  assert.deepEqual(heard(c).filter((x) => x === 'acme'), []);
});

test('our envelopes have tina4\'s keys in its order, the first excluded id, text or b64; our own are dropped when they come back', { timeout: 60000 }, async (t) => {
  const s = await scene(t, { options: { instance_id: 'fedcba9876543210' }, hosts: 1 });
  const [hg] = s.hosts;
  const [a, b] = [await s.open(hg), await s.open(hg)];
  const ids = await Promise.all([a, b].map(async (c) => (await c.message({ type: 'welcome' })).data.connectionId));
  await join(a, 'r');
  a.send({ op: 'publish', text: 'to all' });
  a.send({ op: 'publish', path: '/nowhere', text: 'to a path' });
  a.send({ op: 'publish', room: 'nobody here', text: 'to a room', exclude: ids });
  a.send({ op: 'publish', room: 'r', b64: Buffer.from([0, 255]).toString('base64'), excludeSelf: true });
  a.send({ op: 'publish', room: 'r', text: 'but b and me', exclude: [ids[1]], excludeSelf: true });
  await waitFor(() => s.envelopes.length === 5, { what: 'five envelopes' });
  const [all, path, room, bytes, both] = s.envelopes.map((text) => JSON.parse(text));
  const common = { src: 'fedcba9876543210', kind: 'all', exclude: null, room: null, path: null };
  for (const e of [all, path, room, bytes]) assert.deepEqual(Object.keys(e).slice(0, 5), Object.keys(common));
  for (const e of [all, path, room]) assert.equal(Object.keys(e)[5], 'text');
  assert.equal(Object.keys(bytes)[5], 'b64');
  const five = ({ src, kind, exclude, room: r, path: p, text, b64 }) => ({ src, kind, exclude, room: r, path: p, body: text ?? b64 });
  assert.deepEqual(five(all), { ...common, body: 'to all' });
  assert.deepEqual(five(path), { ...common, kind: 'path', path: '/nowhere', body: 'to a path' });
  assert.deepEqual(five(room), { ...common, kind: 'room', room: 'nobody here', exclude: ids[0], body: 'to a room' });
  assert.deepEqual(five(bytes), { ...common, kind: 'room', room: 'r', exclude: ids[0], body: 'AP8=' });
  assert.deepEqual([both.exclude, both.excludes], [ids[1], [ids[1], ids[0]]], 'tina4 looks at one, and has not the sender');
  assert.deepEqual(room.excludes, ids, 'the others in a key that tina4 does not look at');

  await s.foreign({ src: 'fedcba9876543210', text: say('our own') });
  assert.deepEqual(await end(s, [a, b]), [[], []]);
  assert.equal(s.envelopes.length, 7, 'nothing was published again');
});

test('the six built-in channels, and any other, carry the broadcaster\'s fields to their subscribers', { timeout: 60000 }, async (t) => {
  const s = await scene(t);
  const events = [
    ['files', { file: 'src/a.c', event: 'change' }],
    ['diagnostics', { diagnostics: [{ file: 'a.c', line: 1, message: 'm' }] }],
    ['ai-response', { id: 'r1', chunk: 'Hel', index: 0, finished: false }],
    ['search', { query: 'q', count: 1, total: 10, results: [{}] }],
    ['validation', { result: { ok: true } }],
    ['git', { type: 'commit', message: 'm' }],
    ['anything else', { x: 'ü' }],
  ];
  const all = await Promise.all(s.hosts.map((hg) => s.open(hg, 'ws'))), one = await s.open(s.hosts[1], 'ws'), none = await s.open(s.hosts[0], 'ws');
  for (const [channel] of events) for (const c of [...all, ...(channel === 'git' ? [one] : [])]) {
    c.send({ type: 'subscribe', channel });
    await c.message({ status: 'subscribed', channel });
  }
  for (const [channel, data] of events) {
    const r = await fetch(`${s.hosts[0].http}/publish`, { method: 'POST', headers: { authorization: `Bearer ${TOKEN}` }, body: JSON.stringify({ channel, data }) });
    assert.equal(r.status, 200);
  }
  const got = (c) => c.messages.filter((m) => m.type === 'event');
  await waitFor(() => all.every((c) => got(c).length === events.length) && got(one).length === 1, { what: 'the events' });
  const bare = (m) => {
    const { timestamp, ...data } = m.data;
    assert.ok(Math.abs(timestamp - Date.now()) < 60000);
    return [m.channel, data];
  };
  for (const c of all) assert.deepEqual(got(c).map(bare), events);
  assert.deepEqual(got(one).map(bare), [events[5]]);
  await none.ping();
  assert.deepEqual(got(none), []);
});

test('a member that reads nothing is closed with 1013 and one that is gone costs nothing; the others get all, in order', { timeout: 120000 }, async (t) => {
  const s = await scene(t, { hosts: 1, options: { out_hard: '64k' } });
  const [hg] = s.hosts;
  const [slow, gone, speaker, member] = [await s.open(hg), await s.open(hg), await s.open(hg), await s.open(hg)];
  await Promise.all([slow, gone, speaker, member].map((c) => join(c, 'r')));
  slow.pause();
  gone.terminate();
  const pad = 'x'.repeat(60000);
  let n = 0;
  await waitFor(async () => {
    for (let i = 0; i < 20; i++) speaker.send({ op: 'publish', room: 'r', text: JSON.stringify({ b: n++, pad }) });
    await speaker.ping();
    return await hg.metric('headgate_connections') === 2;
  }, { ms: 60000, what: 'the close of the slow member' });
  await waitFor(() => heard(member).length === n && heard(speaker).length === n, { what: 'all messages' });
  assert.deepEqual(heard(member), Array.from({ length: n }, (_, i) => i));
  slow.resume();
  await slow.whenClosed();
  assert.ok([1013, 1006].includes(slow.closed.code), `closed with ${slow.closed.code}`);
  const seen = heard(slow);
  assert.deepEqual(seen, Array.from({ length: seen.length }, (_, i) => i), 'what came before has no gap');
});

test('TINA4_WS_IDLE_TIMEOUT closes who says nothing for so many seconds, a fraction too, with 1001 "idle timeout"', { timeout: 60000 }, async (t) => {
  const s = await scene(t, { hosts: 1, env: (redis) => ({ TINA4_WS_BACKPLANE: 'redis', TINA4_WS_BACKPLANE_URL: redis.url, TINA4_WS_IDLE_TIMEOUT: '0.8' }), options: { ping_interval: '0' } });
  const [quiet, busy] = [await s.open(s.hosts[0]), await s.open(s.hosts[0])];
  while (!quiet.closed) await busy.ping();
  assert.deepEqual(quiet.closed, { code: 1001, reason: 'idle timeout' });
  await busy.ping();
});
