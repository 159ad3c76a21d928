// The typed channel (spec 4, C-12, C-17): replies, their order against ops, broadcasts and comings and goings across two
// hosts of two workers each, over Redis and NATS; counts of the cluster by tenant, also when a worker or a host dies; the wall
// between tenants, and typed_scope = all, which takes it away; the rate.
// Not tested here: channels (channels), typed errors for bad JSON (hostile_frames).
import test from 'node:test';
import assert from 'node:assert/strict';
import { Client, clientsOnEachWorker } from '../support/client.mjs';
import { headgate, startHeadgate } from '../support/headgate.mjs';
import { ownTopics, sharedKafka } from '../support/kafka.mjs';
import { ownerOfConnection } from '../support/proc.mjs';
import { startNats } from '../support/nats.mjs';
import { startRedis } from '../support/redis.mjs';
import { waitFor } from '../support/wait.mjs';

async function scene(t, options = {}, hosts = 2, { carrier = 'redis', expectErrors } = {}) {
  const kafka = await sharedKafka();
  const redis = await (carrier === 'nats' ? startNats() : startRedis());
  const topics = await ownTopics(kafka.brokers);
  const s = { redis, hosts: [], clients: [] };
  t.after(async () => {
    for (const c of s.clients) c.terminate();
    for (const hg of s.hosts) if (hg.isRunning()) await hg.stop();
    await redis.stop();
  });
  for (let i = 1; i <= hosts; i++) {
    s.hosts.push(await startHeadgate({
      name: `host${i}`, ip: `127.0.0.${i}`, expectErrors,
      options: { ...topics.headgate, host_id: `host${i}`, workers: 2, backplane: carrier, backplane_url: redis.url, auth: 'trust', ...options },
    }));
  }
  s.open = async (hg, more, path = '') => {
    const c = await Client.open(hg.url + path, more);
    s.clients.push(c);
    return c;
  };
  s.spread = async () => {
    const lists = [];
    for (const hg of s.hosts) lists.push(...(await clientsOnEachWorker(hg, 1, ownerOfConnection)).values());
    s.clients.push(...lists.flat());
    return lists.map((list) => list[0]);
  };
  return s;
}

const typed = (c, type) => c.messages.filter((m) => m.type === type);
const idOf = async (c) => (await c.message({ type: 'welcome' })).data.connectionId;

test('replies; a known type counts even with an op, an unknown one falls through', { timeout: 120000 }, async (t) => {
  const s = await scene(t, {}, 1);
  const c = await s.open(s.hosts[0]);
  const reply = async (message, type) => {
    const from = c.messages.length;
    c.send(message);
    const m = await c.message({ type }, { from });
    assert.equal(typeof m.timestamp, 'number');
    return m;
  };
  assert.deepEqual(Object.keys(await reply({ type: 'ping' }, 'pong')), ['type', 'timestamp']);
  assert.deepEqual((await reply({ type: 'ping', op: 'subscribe' }, 'pong')).data, undefined);
  for (const data of [0, '', null, false, [1, { a: 'ü' }], { deep: { er: 1.5 } }]) assert.deepEqual((await reply({ type: 'echo', data }, 'echo_response')).data, data);
  assert.ok(!('data' in await reply({ type: 'echo' }, 'echo_response')));
  const status = (await reply({ type: 'get_status' }, 'status')).data;
  assert.deepEqual(Object.keys(status), ['connectedClients', 'sessions', 'uptime']);
  assert.equal(status.connectedClients, 1);
  assert.ok(status.uptime > 0);
  for (const type of ['nothing', 5, null, {}, '']) {
    const from = c.messages.length;
    c.send({ type, data: 1 });
    assert.equal((await c.message({ op: 'error' }, { from })).code, 'bad_op');
    c.send({ type, op: 'ping' });
    await c.message({ op: 'pong' }, { from });
  }
  const v1 = await s.open(s.hosts[0], { protocols: ['json'] });
  v1.send({ type: 'ping' });
  assert.equal((await v1.message({ op: 'error' })).code, 'bad_op', 'profile v1 has no typed channel');
});

test('a broadcast reaches everyone of the tenant on all workers and hosts once, and no other tenant; never tina4:ws', { timeout: 120000 }, async (t) => {
  const s = await scene(t);
  const tap = s.redis.client();
  const heard = [];
  await tap.subscribe('tina4:ws');
  tap.on('message', (_, text) => heard.push(text));
  t.after(() => tap.disconnect());
  const members = await s.spread();
  const stranger = await s.open(s.hosts[1], { headers: { 'x-tenant': 'other', 'x-user-id': 'eve' } });
  const sender = await s.open(s.hosts[0], { headers: { 'x-user-id': 'ann' } });
  const untyped = [await s.open(s.hosts[0], { protocols: ['json'] }), await s.open(s.hosts[1], { protocols: ['headgate.v1'] })];
  sender.send({ type: 'broadcast', data: { n: 1 } });
  sender.send({ type: 'broadcast', op: 'ping' });
  const all = [...members, sender];
  await waitFor(() => all.every((c) => typed(c, 'broadcast_message').length >= 2), { what: 'the broadcasts' });
  stranger.send({ type: 'broadcast', data: 'mine' });
  await stranger.message({ type: 'broadcast_message' });
  await Promise.all([...all, ...untyped, stranger].map((c) => c.ping()));
  for (const c of untyped) assert.deepEqual(c.messages.map((m) => m.op ?? m.type), ['pong'], 'who has no typed channel hears nothing of it');
  for (const c of all) assert.deepEqual(typed(c, 'broadcast_message').map((m) => m.data), [{ from: 'ann', message: { n: 1 } }, { from: 'ann' }]);
  assert.deepEqual(typed(stranger, 'broadcast_message').map((m) => m.data), [{ from: 'eve', message: 'mine' }]);
  assert.deepEqual(heard, []);
  for (const c of all) assert.deepEqual([...typed(c, 'user_joined'), ...typed(c, 'user_left')], [], 'profile auto is not told who comes and goes');
});

test('who comes and goes is told to the others of the tenant, on all workers and hosts; also when a host drains', { timeout: 120000 }, async (t) => {
  const s = await scene(t, { profile: 'v3' });
  const watchers = await s.spread();
  const stranger = await s.open(s.hosts[0], { headers: { 'x-tenant': 'other' } });
  const c = await s.open(s.hosts[1], { headers: { 'x-user-id': 'bob' } });
  const id = await idOf(c);
  const told = (w, type) => typed(w, type).filter((m) => m.data.connectionId === id).map((m) => m.data);
  assert.equal(c.messages[0].type, 'welcome', 'welcome is the first frame');
  await waitFor(() => watchers.every((w) => told(w, 'user_joined').length > 0), { what: 'user_joined' });
  c.terminate();
  await waitFor(() => watchers.every((w) => told(w, 'user_left').length > 0), { what: 'user_left' });
  await Promise.all([...watchers, stranger].map((w) => w.ping()));
  for (const w of watchers) {
    assert.deepEqual(told(w, 'user_joined'), [{ userId: 'bob', connectionId: id }]);
    assert.deepEqual(told(w, 'user_left'), [{ userId: 'bob', connectionId: id }]);
  }
  assert.deepEqual([...told(stranger, 'user_joined'), ...told(stranger, 'user_left'), ...told(c, 'user_joined')], []);

  const leaving = await Promise.all(watchers.slice(2).map(idOf));
  await s.hosts[1].stop();
  const seen = (w) => typed(w, 'user_left').map((m) => m.data.connectionId);
  await waitFor(() => watchers.slice(0, 2).every((w) => leaving.every((x) => seen(w).includes(x))), { what: 'user_left of the clients of a host that drained' });
});

/** connectedClients and sessions, which are the same, as c is told. */
async function count(c) {
  const from = c.messages.length;
  c.send({ type: 'get_status' });
  const { connectedClients, sessions } = (await c.message({ type: 'status' }, { from })).data;
  assert.equal(sessions, connectedClients);
  return connectedClients;
}

const other = { headers: { 'x-tenant': 'other' } };

for (const carrier of ['redis', 'nats']) {
  test(`counts are those of the cluster, each tenant's by itself, over ${carrier}`, { timeout: 120000 }, async (t) => {
    const s = await scene(t, {}, 2, { carrier, expectErrors: [/worker|killed|nats|backplane/i] });
    await s.spread();
    const strangers = [];
    for (const hg of [s.hosts[0], s.hosts[1], s.hosts[1]]) strangers.push(await s.open(hg, other));
    const alive = () => s.clients.filter((c) => !c.closed && !strangers.includes(c)).length;
    const [first, last] = [s.clients[0], s.clients.at(-4)];
    await waitFor(async () => await count(first) === alive() && await count(last) === alive(), { what: () => `${alive()} clients on both hosts` });
    await waitFor(async () => await count(strangers[0]) === 3 && await count(strangers[2]) === 3, { what: 'three of the other tenant' });
    const late = await s.open(s.hosts[0]);
    assert.equal((await late.message({ type: 'welcome' })).data.connectedClients, alive());
    assert.equal(await count(first), alive(), 'all workers of a host know at once');
    await waitFor(async () => await count(last) === alive(), { what: 'one more at the other host' });
    const channels = await s.open(s.hosts[0], undefined, 'ws'); // it counts, whatever it speaks
    await channels.message({ status: 'connected' });
    assert.equal(await count(first), alive());
    channels.terminate();
    await waitFor(async () => await count(last) === alive(), { what: 'one less at the other host' });

    const [{ pid }] = s.hosts[1].workers();
    process.kill(pid, 'SIGKILL');
    await waitFor(async () => s.hosts[1].workers().every((w) => w.pid !== pid) && await count(first) === alive(), { ms: 30000, what: 'a dead worker\'s clients out of the counts' });
    strangers[1].terminate();
    strangers[2].terminate();
    s.hosts[1].signal('SIGKILL');
    const remaining = () => s.clients.filter((c) => !c.closed && c.ws.url.includes('127.0.0.1')).length;
    await waitFor(async () => await count(strangers[0]) === 1 && await count(first) === remaining() - 1, { ms: 40000, what: 'a dead host\'s clients out of the counts' });
  });
}

/** hg_hash_fixed (common/base/map.c), SipHash-1-3 of fewer than 8 bytes. */
function fixedHash(text) {
  const mask = (1n << 64n) - 1n, key = [0x6865616467617465n, 0x2d666978656420n];
  const rotl = (x, b) => ((x << b) | (x >> (64n - b))) & mask;
  const v = [key[0] ^ 0x736f6d6570736575n, key[1] ^ 0x646f72616e646f6dn, key[0] ^ 0x6c7967656e657261n, key[1] ^ 0x7465646279746573n];
  const round = () => {
    v[0] = (v[0] + v[1]) & mask; v[1] = rotl(v[1], 13n) ^ v[0]; v[0] = rotl(v[0], 32n);
    v[2] = (v[2] + v[3]) & mask; v[3] = rotl(v[3], 16n) ^ v[2];
    v[0] = (v[0] + v[3]) & mask; v[3] = rotl(v[3], 21n) ^ v[0];
    v[2] = (v[2] + v[1]) & mask; v[1] = rotl(v[1], 17n) ^ v[2]; v[2] = rotl(v[2], 32n);
  };
  const bytes = Buffer.from(text);
  let tail = BigInt(bytes.length) << 56n;
  bytes.forEach((byte, i) => { tail |= BigInt(byte) << BigInt(8 * i); });
  v[3] ^= tail;
  round();
  v[0] ^= tail;
  v[2] ^= 0xffn;
  for (let i = 0; i < 3; i++) round();
  return v[0] ^ v[1] ^ v[2] ^ v[3];
}

test('a tenant for whom the table of counts has no place still counts itself', { timeout: 120000 }, async (t) => {
  const s = await scene(t, { workers: 1 }, 1);
  const sets = 256n; // of 16 places each: the 17th tenant of a set finds none
  const names = [];
  for (let i = 0; names.length < 18; i++) if (fixedHash(`t${i}`) % sets === 0n) names.push(`t${i}`);
  for (const name of names) {
    const c = await s.open(s.hosts[0], { headers: { 'x-tenant': name } });
    assert.equal((await c.message({ type: 'welcome' })).data.connectedClients, 1, name);
    assert.equal(await count(c), 1);
  }
  assert.match(s.hosts[0].logText(), /typed\.uncounted/, 'the test means what it says');
});

test('broadcasts and user_joined cross hosts over NATS, on a channel of headgate\'s own', { timeout: 120000 }, async (t) => {
  const s = await scene(t, { profile: 'v3' }, 2, { carrier: 'nats' });
  const tap = await s.redis.client();
  t.after(() => tap.end());
  await tap.subscribe('tina4:ws');
  const members = await s.spread();
  const stranger = await s.open(s.hosts[1], other);
  const bob = await s.open(s.hosts[1], { headers: { 'x-user-id': 'bob' } });
  const id = await idOf(bob);
  bob.send({ type: 'broadcast', data: [1, 'ü'] });
  await waitFor(() => members.every((c) => typed(c, 'broadcast_message').length > 0 && typed(c, 'user_joined').some((m) => m.data.connectionId === id)), { what: 'the broadcast of bob who joined' });
  bob.terminate();
  await waitFor(() => members.every((c) => typed(c, 'user_left').some((m) => m.data.connectionId === id)), { what: 'user_left' });
  await Promise.all([...members, stranger].map((c) => c.ping()));
  for (const c of members) {
    assert.deepEqual(typed(c, 'broadcast_message').map((m) => m.data), [{ from: 'bob', message: [1, 'ü'] }]);
    for (const type of ['user_joined', 'user_left']) assert.equal(typed(c, type).filter((m) => m.data.connectionId === id).length, 1, type);
  }
  assert.deepEqual([...typed(stranger, 'broadcast_message'), ...typed(stranger, 'user_joined'), ...typed(stranger, 'user_left')], []);
  assert.deepEqual(tap.messages, []);
});

test('typed_scope = all: one room for all tenants, as in the sources', { timeout: 120000 }, async (t) => {
  const s = await scene(t, { profile: 'v2', typed_scope: 'all' });
  const watcher = await s.open(s.hosts[0]);
  const stranger = await s.open(s.hosts[1], { headers: { 'x-tenant': 'other', 'x-user-id': 'eve' } });
  const id = await idOf(stranger);
  await watcher.message((m) => m.type === 'user_joined' && m.data.connectionId === id);
  await waitFor(async () => await count(watcher) === 2 && await count(stranger) === 2, { what: 'both in the counts of both' });
  stranger.send({ type: 'broadcast', data: 'to all' });
  assert.deepEqual((await watcher.message({ type: 'broadcast_message' })).data, { from: 'eve', message: 'to all' });
  await stranger.message({ type: 'broadcast_message' });
  stranger.terminate();
  await watcher.message((m) => m.type === 'user_left' && m.data.connectionId === id);
  await waitFor(async () => await count(watcher) === 1, { what: 'one left' });
  await watcher.ping();
  assert.equal(typed(watcher, 'broadcast_message').length, 1);
});

test('a worker that drains says user_left for its clients; the others of the host stay', { timeout: 120000 }, async (t) => {
  const s = await scene(t, { profile: 'v3' }, 1);
  const [hg] = s.hosts;
  const lists = await clientsOnEachWorker(hg, 1, ownerOfConnection);
  s.clients.push(...[...lists.values()].flat());
  const { pid } = hg.workers().find((w) => w.slot === 0);
  const leaving = await Promise.all(lists.get(pid).map(idOf));
  const stay = [...lists].filter(([p]) => p !== pid).flatMap(([, list]) => list);
  const ctl = await headgate(['ctl', 'drain', '0', '--config', hg.conf]);
  assert.equal(ctl.code, 0, ctl.stderr);
  const seen = (c) => typed(c, 'user_left').map((m) => m.data.connectionId);
  await waitFor(() => stay.every((c) => leaving.every((x) => seen(c).includes(x))), { what: 'user_left of the clients of the worker' });
  for (const c of stay) assert.deepEqual(seen(c).sort(), [...leaving].sort());
  await waitFor(async () => await count(stay[0]) === stay.length, { what: 'the counts without them' });
});

test('above typed_rate a broadcast is answered with flood and not sent; the connection lives', { timeout: 120000 }, async (t) => {
  const s = await scene(t, { typed_rate: 1, typed_burst: 3 }, 1);
  const [c, other] = [await s.open(s.hosts[0]), await s.open(s.hosts[0])];
  for (let i = 0; i < 50; i++) c.send({ type: 'broadcast', data: i });
  await c.ping();
  const refused = typed(c, 'error'), sent = typed(c, 'broadcast_message');
  assert.ok(refused.every((m) => m.data.code === 'flood'));
  assert.equal(refused.length + sent.length, 50);
  assert.ok(sent.length >= 3 && refused.length > 0, `${sent.length} sent`);
  other.send({ type: 'broadcast', data: 'mine' });
  await other.message((m) => m.type === 'broadcast_message' && m.data.message === 'mine');
  c.send({ type: 'ping' });
  await c.message({ type: 'pong' });
});

test('typed_broadcast = permission asks for publish_all', { timeout: 120000 }, async (t) => {
  const s = await scene(t, { typed_broadcast: 'permission' }, 1);
  const c = await s.open(s.hosts[0]);
  c.send({ type: 'broadcast', data: 1 });
  assert.equal((await c.message({ type: 'error' })).data.code, 'forbidden');
  assert.deepEqual(typed(c, 'broadcast_message'), []);
});
