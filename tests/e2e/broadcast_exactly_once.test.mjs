// Rooms and broadcasts (join, leave, publish, sendTo): with two hosts of two workers each and one Redis every member gets each
// broadcast exactly once, as it was sent, in the order of its sender; nobody else gets it. What others publish on
// tina4:ws is delivered and never published again; what headgate publishes there is what others read.
// Not tested here: Redis going away (redis_restart), tenants (trust).
import test from 'node:test';
import assert from 'node:assert/strict';
import { Client, clientsOnEachWorker } from '../support/client.mjs';
import { startHeadgate } from '../support/headgate.mjs';
import { ownTopics, sharedKafka } from '../support/kafka.mjs';
import { ownerOfConnection } from '../support/proc.mjs';
import { startRedis } from '../support/redis.mjs';
import { waitFor } from '../support/wait.mjs';

async function scene(t, options = {}) {
  const kafka = await sharedKafka();
  const redis = await startRedis();
  const topics = await ownTopics(kafka.brokers);
  const s = { redis, hosts: [], clients: [], tap: redis.client(), pub: redis.client(), envelopes: [] };
  t.after(async () => {
    for (const c of s.clients) c.terminate();
    for (const hg of s.hosts) if (hg.isRunning()) await hg.stop();
    s.tap.disconnect();
    s.pub.disconnect();
    await redis.stop();
  });
  await s.tap.subscribe('tina4:ws');
  s.tap.on('message', (_, text) => s.envelopes.push(text));
  for (const i of [1, 2]) {
    s.hosts.push(await startHeadgate({
      name: `host${i}`, ip: `127.0.0.${i}`,
      options: {
        ...topics.headgate, host_id: `host${i}`, workers: 2, backplane: 'redis', backplane_url: redis.url,
        default_permissions: 'join,publish,publish_all', ...options,
      },
    }));
  }
  s.perWorker = [];
  for (const hg of s.hosts) s.perWorker.push(...(await clientsOnEachWorker(hg, 2, ownerOfConnection)).values());
  s.clients.push(...s.perWorker.flat());
  // A raw text arrives as it is; the tests' texts are JSON with "b".
  s.broadcasts = (c) => c.messages.filter((m) => m.b !== undefined).map((m) => m.b);
  s.open = async (hg, path = '', more) => {
    const c = await Client.open(hg.url + path, more);
    s.clients.push(c);
    return c;
  };
  return s;
}

async function join(c, room) {
  c.send({ op: 'join', room });
  await c.message({ op: 'joined', room });
}

test('each member on both hosts gets each broadcast once, in order; others none', { timeout: 120000 }, async (t) => {
  const s = await scene(t);
  const members = s.perWorker.map((list) => list[0]);
  const others = s.perWorker.map((list) => list[1]);
  await Promise.all(members.map((c) => join(c, 'lobby')));
  const EACH = 100;
  for (let n = 0; n < EACH; n++) {
    for (const [i, c] of [...members, others[0]].entries()) c.send({ op: 'publish', room: 'lobby', text: JSON.stringify({ b: `${i}:${n}` }) });
  }
  const want = EACH * (members.length + 1);
  await waitFor(() => members.every((c) => s.broadcasts(c).length >= want), { what: () => `${want} broadcasts, got ${members.map((c) => s.broadcasts(c).length)}` });
  await Promise.all(s.clients.map((c) => c.ping()));
  for (const c of members) {
    const got = s.broadcasts(c);
    assert.equal(got.length, want);
    assert.equal(new Set(got).size, want, 'no repeats');
    for (let i = 0; i <= members.length; i++) {
      assert.deepEqual(got.filter((b) => b.startsWith(`${i}:`)), Array.from({ length: EACH }, (_, n) => `${i}:${n}`), `order of sender ${i}`);
    }
  }
  for (const c of others) assert.deepEqual(s.broadcasts(c), []);
});

test('B-32: leave, excludeSelf, exclude, paths and everyone', { timeout: 120000 }, async (t) => {
  const s = await scene(t);
  const [a, b, c, d] = s.perWorker.map((list) => list[0]);
  const id = async (x) => (await x.message({ type: 'welcome' })).data.connectionId;
  await Promise.all([a, b, c, d].map((x) => join(x, 'r')));
  const [atPath, atPathToo] = [await s.open(s.hosts[0], 'chat?x=1'), await s.open(s.hosts[1], 'chat?y=2')];
  const publish = (fields, tag) => a.send({ op: 'publish', ...fields, text: JSON.stringify({ b: tag }) });

  publish({ room: 'r', excludeSelf: true }, 'not me');
  publish({ room: 'r', exclude: await id(c) }, 'not c');
  publish({ room: 'r', exclude: [await id(b), await id(d)] }, 'not b, not d');
  publish({ path: '/chat' }, 'path');
  publish({}, 'all');
  await waitFor(() => s.clients.every((x) => s.broadcasts(x).includes('all')), { what: 'the broadcast to everyone' });
  assert.deepEqual(s.broadcasts(a), ['not c', 'not b, not d', 'all']);
  assert.deepEqual(s.broadcasts(b), ['not me', 'not c', 'all']);
  assert.deepEqual(s.broadcasts(c), ['not me', 'not b, not d', 'all']);
  assert.deepEqual(s.broadcasts(d), ['not me', 'not c', 'all']);
  assert.deepEqual(s.broadcasts(atPath), ['path', 'all']);
  assert.deepEqual(s.broadcasts(atPathToo), ['path', 'all']);

  d.send({ op: 'leave', room: 'r' });
  await d.message({ op: 'left', room: 'r' });
  publish({ room: 'r' }, 'after leave');
  await waitFor(() => [a, b, c].every((x) => s.broadcasts(x).includes('after leave')), { what: 'the last broadcast' });
  await d.ping();
  assert.ok(!s.broadcasts(d).includes('after leave'));
});

test('sendTo reaches one connection of the tenant on whatever worker and host, as it was sent; never tina4:ws', { timeout: 120000 }, async (t) => {
  const s = await scene(t, { auth: 'trust', default_permissions: 'join,publish' });
  const all = s.perWorker.map((list) => list[0]);
  const id = async (x) => (await x.message({ type: 'welcome' })).data.connectionId;
  const stranger = await s.open(s.hosts[1], '', { headers: { 'x-tenant': 'other' } });
  const bytes = new Map([...all, stranger].map((x) => [x, []]));
  for (const x of [...all, stranger]) x.rawBinary = (data) => bytes.get(x).push(data.toString('hex'));
  s.envelopes.length = 0;
  const [a] = all;
  for (const [i, x] of all.entries()) {
    a.send({ op: 'sendTo', id: await id(x), text: JSON.stringify({ b: `to ${i}` }) });
    a.send({ op: 'sendTo', id: (await id(x)).toUpperCase(), b64: Buffer.from([0xff, i]).toString('base64') });
  }
  for (const nobody of ['x', '00000000-0000-4000-8000-000000000000', await id(stranger)]) a.send({ op: 'sendTo', id: nobody, text: '{"b":"nobody"}' });
  await waitFor(() => all.every((x) => s.broadcasts(x).length >= 1 && bytes.get(x).length >= 1), { what: 'a message at each' });
  stranger.send({ op: 'sendTo', id: await id(stranger), text: '{"b":"myself"}' });
  await waitFor(() => s.broadcasts(stranger).length > 0, { what: 'the message to oneself' });
  a.send({ op: 'publish', room: 'behind', text: 'x' });
  await waitFor(() => s.envelopes.length > 0, { what: 'the envelope behind them' });
  await Promise.all([...all, stranger].map((x) => x.ping()));
  for (const [i, x] of all.entries()) {
    assert.deepEqual(s.broadcasts(x), [`to ${i}`]);
    assert.deepEqual(bytes.get(x), [`ff0${i}`]);
  }
  assert.deepEqual(s.broadcasts(stranger), ['myself']);
  assert.equal(s.envelopes.length, 1, 'none of them was heard on tina4:ws');
  assert.deepEqual(a.messages.filter((m) => m.op === 'error'), [], 'nobody is told that nobody was there');
});

test('sendTo and publish ask for the permission', { timeout: 120000 }, async (t) => {
  const s = await scene(t, { default_permissions: 'join' });
  const [a] = s.perWorker[0];
  for (const message of [{ op: 'sendTo', id: 'x', text: '' }, { op: 'publish', room: 'r', text: '' }]) {
    const from = a.messages.length;
    a.send(message);
    assert.deepEqual(await a.message({ op: 'error' }, { from }).then((m) => [m.code, m.detail]), ['forbidden', 'publish']);
  }
});

test('envelopes of others are delivered once and never published again; ours are readable by them', { timeout: 120000 }, async (t) => {
  const s = await scene(t);
  const [a, , c] = s.perWorker.map((list) => list[0]);
  await Promise.all([join(a, 'r'), join(c, 'r')]);
  const foreign = (fields) => s.pub.publish('tina4:ws', JSON.stringify({ src: '00112233445566ff', kind: 'room', exclude: null, room: 'r', path: null, ...fields }));
  const bytes = [];
  a.rawBinary = (data) => bytes.push(data.toString());
  c.rawBinary = (data) => bytes.push(data.toString());
  s.envelopes.length = 0;
  for (const bad of ['', 'no json', '[]', '5', '{}', '{"src":"x"}', '{"src":"x","kind":"room","room":"r","text":5}']) await s.pub.publish('tina4:ws', bad);
  await foreign({ room: null, text: '{"b":"nobody"}' });
  await foreign({ text: '{"b":"foreign"}' });
  await foreign({ b64: Buffer.from('bytes').toString('base64') });
  await waitFor(() => [a, c].every((x) => s.broadcasts(x).includes('foreign')) && bytes.length >= 2, { what: 'the envelopes of others' });
  await Promise.all([a, c].map((x) => x.ping()));
  assert.deepEqual(s.broadcasts(a), ['foreign']);
  assert.deepEqual(bytes, ['bytes', 'bytes']);
  assert.equal(s.envelopes.length, 10, 'nothing was published again');

  a.send({ op: 'publish', room: 'r', text: 'plain words' });
  await waitFor(() => s.envelopes.length > 10, { what: 'our envelope' });
  const ours = JSON.parse(s.envelopes[10]);
  assert.deepEqual(Object.keys(ours).slice(0, 6), ['src', 'kind', 'exclude', 'room', 'path', 'text']);
  assert.match(ours.src, /^[0-9a-f]{16}$/);
  assert.deepEqual({ ...ours, src: 0, tenant: 0 }, { src: 0, kind: 'room', exclude: null, room: 'r', path: null, text: 'plain words', tenant: 0 });
  await waitFor(() => c.messages.some((m) => m.text === 'plain words'), { what: 'the text at the other host' });
  assert.equal(c.messages.filter((m) => m.text === 'plain words').length, 1);
  assert.equal(s.envelopes.length, 11);
});
