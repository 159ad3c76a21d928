// Rooms and broadcasts over NATS: with two hosts of two workers each every member gets each broadcast exactly once, as over
// Redis; a program that speaks nothing but NATS reads our envelopes on tina4:ws and is heard there. NATS may be restarted.
// Not tested here: what is done with a broadcast once it has come (broadcast_exactly_once), a silent or refusing server, the
// cap (tests/worker/bus_nats_test.c).
import test from 'node:test';
import assert from 'node:assert/strict';
import { Client, clientsOnEachWorker } from '../support/client.mjs';
import { startHeadgate } from '../support/headgate.mjs';
import { ownTopics, sharedKafka } from '../support/kafka.mjs';
import { startNats } from '../support/nats.mjs';
import { ownerOfConnection } from '../support/proc.mjs';
import { waitFor } from '../support/wait.mjs';

const heard = (c) => c.messages.filter((m) => m.b !== undefined).map((m) => m.b);
const say = (c, b, where = { room: 'r' }) => c.send({ op: 'publish', ...where, text: JSON.stringify({ b }) });
const up = (hg) => waitFor(async () => (await hg.metric('headgate_backplane_up')) >= 1, { ms: 40000, what: 'backplane up' });

async function join(c, room) {
  c.send({ op: 'join', room });
  await c.message({ op: 'joined', room });
}

/** Two hosts; perWorker: a client on each worker of each. options or env give the backplane. */
async function scene(t, { env, options = (nats) => ({ backplane: 'nats', backplane_url: nats.url }), expectErrors } = {}) {
  const s = { hosts: [], clients: [] };
  t.after(async () => {
    for (const c of s.clients) c.terminate();
    s.tap?.end();
    for (const hg of s.hosts) if (hg.isRunning()) await hg.stop();
    await s.nats?.stop();
  });
  s.nats = await startNats();
  s.tap = await s.nats.client();
  await s.tap.subscribe('tina4:ws');
  const kafka = await sharedKafka();
  const topics = await ownTopics(kafka.brokers);
  for (const i of [1, 2]) {
    s.hosts.push(await startHeadgate({
      name: `host${i}`, ip: `127.0.0.${i}`, expectErrors, env: env?.(s.nats),
      options: { ...topics.headgate, host_id: `host${i}`, workers: 2, default_permissions: 'join,publish,publish_all', ...options(s.nats) },
    }));
  }
  s.perWorker = [];
  for (const hg of s.hosts) s.perWorker.push(...[...(await clientsOnEachWorker(hg, 1, ownerOfConnection)).values()].map((list) => list[0]));
  s.clients.push(...s.perWorker);
  await Promise.all(s.hosts.map(up));
  return s;
}

test('room, path and everyone: each once, in order', { timeout: 120000 }, async (t) => {
  const s = await scene(t);
  const EACH = 100;
  const members = s.perWorker;
  await Promise.all(members.map((c) => join(c, 'r')));
  for (let n = 0; n < EACH; n++) for (const [i, c] of members.entries()) say(c, `${i}:${n}`);
  await waitFor(() => members.every((c) => heard(c).length >= EACH * members.length), { what: () => `all broadcasts, got ${members.map((c) => heard(c).length)}` });
  const atPath = [];
  for (const hg of s.hosts) atPath.push(await Client.open(`${hg.url}chat`));
  s.clients.push(...atPath);
  say(members[0], 'path', { path: '/chat' });
  say(members[0], 'all', {});
  await waitFor(() => s.clients.every((c) => heard(c).includes('all')), { what: 'the broadcast to everyone' });
  await Promise.all(s.clients.map((c) => c.ping()));
  for (const c of members) {
    const got = heard(c);
    for (const i of members.keys()) assert.deepEqual(got.filter((b) => b.startsWith(`${i}:`)), Array.from({ length: EACH }, (_, n) => `${i}:${n}`), `order of sender ${i}`);
    assert.deepEqual(got.slice(EACH * members.length), ['all']);
  }
  for (const c of atPath) assert.deepEqual(heard(c), ['path', 'all']);
  assert.equal(s.tap.messages.length, EACH * members.length + 2, 'each was published once');
});

test('a program that speaks NATS reads our envelopes and is heard, by the names of tina4', { timeout: 120000 }, async (t) => {
  const s = await scene(t, { env: (nats) => ({ TINA4_WS_BACKPLANE: 'nats', TINA4_WS_BACKPLANE_URL: nats.url }), options: () => ({}) });
  const [a, , c] = s.perWorker;
  await Promise.all([join(a, 'r'), join(c, 'r')]);
  const foreign = (fields) => s.tap.publish('tina4:ws', JSON.stringify({ src: '00112233445566ff', kind: 'room', exclude: null, room: 'r', path: null, ...fields }));
  for (const bad of ['', 'no json', '{}']) await s.tap.publish('tina4:ws', bad);
  await foreign({ text: '{"b":"foreign ä"}' });
  await waitFor(() => [a, c].every((x) => heard(x).includes('foreign ä')), { what: 'the envelope of another' });
  assert.equal(s.tap.messages.length, 4, 'nothing was published again');

  say(a, 'ours ö');
  await waitFor(() => s.tap.messages.length > 4 && heard(c).includes('ours ö'), { what: 'our envelope' });
  const ours = JSON.parse(s.tap.messages[4]);
  assert.deepEqual(Object.keys(ours).slice(0, 6), ['src', 'kind', 'exclude', 'room', 'path', 'text']);
  assert.deepEqual({ ...ours, src: 0, tenant: 0 }, { src: 0, kind: 'room', exclude: null, room: 'r', path: null, text: '{"b":"ours ö"}', tenant: 0 });
  await Promise.all([a, c].map((x) => x.ping()));
  for (const x of [a, c]) assert.deepEqual(heard(x), ['foreign ä', 'ours ö']);
  assert.equal(s.tap.messages.length, 5);
});

test('NATS is restarted', { timeout: 120000 }, async (t) => {
  const s = await scene(t, { expectErrors: [/nats|backplane/i] });
  const [a, neighbour, b] = s.perWorker;
  await Promise.all([a, neighbour, b].map((c) => join(c, 'r')));
  say(a, 'before');
  await waitFor(() => heard(b).includes('before'), { what: 'the first broadcast' });
  await s.nats.kill();
  await Promise.all(s.hosts.map((hg) => waitFor(async () => (await hg.metric('headgate_backplane_up')) === 0, { what: 'backplane seen down' })));
  say(a, 'alone');
  await waitFor(() => [a, neighbour].every((c) => heard(c).includes('alone')), { what: 'local delivery' });
  await s.nats.start();
  await Promise.all(s.hosts.map(async (hg) => (await up(hg), hg.ready())));
  say(a, 'after, from a');
  say(b, 'after, from b');
  await waitFor(() => [a, b, neighbour].every((c) => ['after, from a', 'after, from b'].every((x) => heard(c).includes(x))), { what: 'broadcasts after' });
  await Promise.all([a, b, neighbour].map((c) => c.ping()));
  for (const c of [a, b, neighbour]) assert.equal(new Set(heard(c)).size, heard(c).length, `repeats: ${heard(c)}`);
  assert.ok(!heard(b).includes('alone'));
});
