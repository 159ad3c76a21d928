// rpc when the other side misbehaves or something ends: replies that come late, twice, for nobody or as garbage, rows that
// are not JSON (B-28), calls without Kafka, too many calls, a gateway that stops, reply topics of gateways that share a
// process id or a name (B-24).
// Not tested here: what each method says (rpc_methods.test.mjs), a snapshot's call that fails (live_query.test.mjs).
import test from 'node:test';
import assert from 'node:assert/strict';
import { Client } from '../support/client.mjs';
import { headgate, startHeadgate } from '../support/headgate.mjs';
import { kafkaClient, startKafka } from '../support/kafka.mjs';
import { freePort } from '../support/ports.mjs';
import { encodeReply } from '../support/sqlwire.mjs';
import { stage } from '../support/stage.mjs';
import { waitFor } from '../support/wait.mjs';

let n = 0;
async function call(c, method = 'TABLE_EXISTS', more = {}) {
  const correlationId = `c${++n}`;
  c.send({ op: 'rpc', method, table: 't', correlationId, ...more });
  const { error, data } = await c.message({ op: 'rpcResult', correlationId });
  return error ?? data;
}

const GARBAGE = Buffer.from('no flatbuffer, only text of some length');
const whole = (correlationId) => encodeReply({ correlationId, rows: ['{"a":1}', '{"b":2}'] });

test('late, repeated, foreign and malformed replies are counted and dropped', { timeout: 60000 }, async (t) => {
  let reply;
  const s = await stage(t, { sql: { reply: (request) => (typeof reply === 'function' ? reply(request) : reply) }, options: { workers: 1, rpc_timeout: '1s' } });
  const c = s.keep(await Client.open(s.hg.url));
  const seen = { strays: 0, malformed: 0 };
  const counted = (strays, malformed, what) => {
    seen.strays += strays;
    seen.malformed += malformed;
    return waitFor(async () => await s.hg.metric('headgate_rpc_strays_total') === seen.strays
      && await s.hg.metric('headgate_rpc_malformed_total') === seen.malformed, { what: `${what}: the counters ${JSON.stringify(seen)}` });
  };

  reply = [{ bool: true }, { bool: false }];
  assert.equal(await call(c), true, 'the first counts');
  await counted(1, 0, 'twice');
  reply = [{ correlationId: 'of another', bool: false }, { correlationId: '', bool: false }, { bool: true }];
  assert.equal(await call(c), true);
  await counted(2, 0, 'of another');

  // Garbage before the answer does not stand in its way.
  reply = [GARBAGE, Buffer.alloc(3), Buffer.alloc(0), null, { bool: true }];
  assert.equal(await call(c), true);
  await counted(0, 4, 'garbage, then the answer');
  // Each beginning of a good reply: too short to be believed, never half an answer.
  let cuts = 0;
  reply = ({ correlationId }) => {
    const bytes = whole(correlationId), list = [];
    for (let size = 4; size < bytes.length - 16; size += 8) list.push(bytes.subarray(0, size));
    cuts = list.length;
    return [...list, { bool: true }];
  };
  assert.equal(await call(c), true);
  assert.ok(cuts > 10, `${cuts}`);
  await counted(0, cuts, 'cut off');

  reply = GARBAGE;
  assert.equal(await call(c), 'rpc timeout');
  await counted(0, 1, 'nothing but garbage');
  s.db.behaviour.delayMs = 2000;
  reply = { bool: true };
  assert.equal(await call(c), 'rpc timeout');
  await counted(1, 0, 'late');
  s.db.behaviour.delayMs = 0;
  assert.equal(await call(c), true, 'still serving');
  assert.equal(await s.hg.metric('headgate_rpc_timeouts_total'), 2);
  assert.equal(c.messages.filter((m) => m.op === 'rpcResult').length, n, 'one answer per call');
});

test('a call waits 10 seconds unless rpc_timeout says otherwise', async () => {
  assert.match((await headgate(['--print=effective'])).stdout, /^rpc_timeout\s*=\s*10s\b/m);
  assert.match((await headgate(['--print=effective', '--rpc-timeout=3s'])).stdout, /^rpc_timeout\s*=\s*3s\b/m);
});

test('B-28: a row that is not JSON fails the call at once, and only that call', { timeout: 60000 }, async (t) => {
  let reply;
  const s = await stage(t, { sql: { reply: () => reply }, options: { workers: 1, rpc_timeout: '50s' } });
  const c = s.keep(await Client.open(s.hg.url));
  const bad = ['{"half":', '', 'undefined', '{"a":1}{"b":2}', "{'a':1}", '{"a":NaN}', '[1,]', '"\ud800'];
  for (const row of bad) {
    for (const says of [{ rows: ['{}', row] }, { rows: [row], cursor: [] }, ...(row ? [{ row }] : [])]) { // an empty RowJson is null
      reply = says;
      assert.equal(await call(c, 'GET_DATA'), 'the reply holds a row that is not JSON', JSON.stringify(says));
    }
  }
  reply = { rows: ['{"a":1}'] };
  assert.deepEqual(await call(c, 'GET_DATA'), [{ a: 1 }]);
  assert.equal(await s.hg.metric('headgate_rpc_timeouts_total'), 0);
  assert.equal(await s.hg.metric('headgate_rpc_malformed_total'), 3 * bad.length - 1);
});

test('calls in flight are capped per connection and per tenant; the cap is free again after the answers', { timeout: 60000 }, async (t) => {
  let open;
  const gate = new Promise((resolve) => { open = resolve; });
  const s = await stage(t, { options: { workers: 1, max_calls: 3, max_calls_tenant: 5, trusted_proxies: '127.0.0.0/8' } });
  const answer = s.db.answer.bind(s.db);
  s.db.behaviour.reply = { bool: true };
  s.db.answer = async (request) => { await gate; return answer(request); };
  const [a, b, other] = await Promise.all([{}, {}, { headers: { 'x-tenant': 'acme' } }].map((o) => Client.open(s.hg.url, o)));
  s.keep([a, b, other]);
  const send = (c, ids) => ids.forEach((correlationId) => c.send({ op: 'rpc', method: 'TABLE_EXISTS', table: 't', correlationId }));
  const results = (c) => c.messages.filter((m) => m.op === 'rpcResult');
  send(a, ['a1', 'a2', 'a3', 'a4']);
  assert.equal((await a.message({ correlationId: 'a4' })).error, 'too many calls in flight');
  send(b, ['b1', 'b2', 'b3']);
  assert.equal((await b.message({ correlationId: 'b3' })).error, 'too many calls in flight of this tenant');
  send(other, ['o1', 'o2', 'o3']); // the other tenant is untouched
  await Promise.all([a, b, other].map((c) => c.ping()));
  assert.deepEqual([a, b, other].map((c) => results(c).length), [1, 1, 0]);
  a.terminate(); // its calls are still the tenant's
  await waitFor(async () => await s.hg.metric('headgate_connections') === 2, { what: 'the end of one connection' });
  send(b, ['b4']);
  assert.equal((await b.message({ correlationId: 'b4' })).error, 'too many calls in flight of this tenant');
  open();
  for (const id of ['b1', 'b2']) assert.equal((await b.message({ correlationId: id })).ok, true);
  for (const id of ['o1', 'o2', 'o3']) assert.equal((await other.message({ correlationId: id })).ok, true);
  await waitFor(async () => await s.hg.metric('headgate_rpc_inflight') === 0, { what: 'no call in flight' });
  send(b, ['b5', 'b6', 'b7']);
  for (const id of ['b5', 'b6', 'b7']) assert.equal((await b.message({ correlationId: id })).ok, true);
});

test('large answers that are awaited together make nobody a slow consumer; what is above max_snapshot is "too large"', { timeout: 60000 }, async (t) => {
  let size = 900000;
  const s = await stage(t, { sql: { reply: () => ({ row: JSON.stringify({ pad: 'x'.repeat(size) }) }) }, options: { workers: 1, max_snapshot: '3m', rpc_timeout: '50s' } });
  const c = s.keep(await Client.open(s.hg.url));
  const together = async (ids) => {
    for (const correlationId of ids) c.send({ op: 'rpc', method: 'GET_SINGLE', table: 't', correlationId });
    const all = await Promise.all(ids.map((correlationId) => c.message({ op: 'rpcResult', correlationId }, { ms: 40000 })));
    return [all.filter((m) => m.data?.pad.length === size).length, all.filter((m) => m.error === 'too large').length];
  };
  const names = (word, count) => Array.from({ length: count }, (_, i) => `${word}${i}`);
  assert.deepEqual(await together(names('few', 3)), [3, 0]);
  // Nobody reads: more than the kernel takes, then more than may wait.
  c.ws._socket.pause();
  const many = together(names('many', 60));
  await waitFor(async () => s.db.calls.length === 63 && await s.hg.metric('headgate_rpc_inflight') === 0, { ms: 40000, what: 'all answers to be queued or refused' });
  c.ws._socket.resume();
  const [got, refused] = await many;
  assert.ok(got >= 3 && refused > 0 && got + refused === 60, `${got} came, ${refused} refused`);
  size = 4000000;
  assert.deepEqual(await together(names('huge', 2)), [0, 2]);
  size = 10;
  assert.deepEqual(await together(names('small', 1)), [1, 0], 'the connection lives');
});

test('a call that Kafka refuses is answered at once, not at its deadline', { timeout: 60000 }, async (t) => {
  const s = await stage(t, { sql: { reply: { bool: true } }, options: { workers: 1, rpc_timeout: '50s', kafka_properties: 'message.max.bytes=100000' } });
  const admin = kafkaClient(s.kafka.brokers).admin();
  await admin.connect();
  t.after(() => admin.disconnect());
  await admin.alterConfigs({ resources: [{ type: 2, name: s.topics.requests, configEntries: [{ name: 'max.message.bytes', value: '2000' }] }] });
  const c = s.keep(await Client.open(s.hg.url));
  const add = (bytes) => call(c, 'ADD_SINGLE', { payload: { row: { pad: 'x'.repeat(bytes) } } });
  await waitFor(async () => (await add(5000)) === 'the call is too large for Kafka', { what: 'the broker to know its limit' });
  assert.equal(await add(200000), 'the call is too large for Kafka', 'too large for the client library');
  assert.equal(await add(10), true);
  c.send({ op: 'subscribe', table: 't', hashId: 'h', queryJson: JSON.stringify({ wrapper: { filters: [{ field_name: 'x'.repeat(5000), filter_type: 'isNull' }] } }) });
  assert.equal((await c.message({ op: 'error', hashId: 'h' })).message, 'the call is too large for Kafka');
  assert.equal(await s.hg.metric('headgate_rpc_timeouts_total'), 0);
});

for (const [signal, code] of [['SIGTERM', 1012], ['SIGINT', 1001]]) {
  test(`${signal}: calls in flight are answered "rpc shutdown", then the connection is closed with ${code}`, { timeout: 60000 }, async (t) => {
    const s = await stage(t, { sql: { fail: 'silent' }, options: { workers: 1, drain_timeout: '5s' } });
    const [c, idle] = s.keep(await Promise.all([Client.open(s.hg.url), Client.open(s.hg.url)]));
    const ids = ['x', 'y', 'z'];
    for (const correlationId of ids) c.send({ op: 'rpc', method: 'DELETE_ROW', table: 't', correlationId, payload: { primaryId: 1 } });
    c.send({ op: 'rpc', method: 'DELETE_ROW', table: 't', payload: { primaryId: 1 } });
    await waitFor(() => s.db.calls.length === 4, { what: 'the calls at the worker' });
    const stopped = s.hg.stop(signal);
    await Promise.all([c.whenClosed(), idle.whenClosed()]);
    await stopped;
    const said = { op: 'rpcResult', method: 'DELETE_ROW', ok: false, error: 'rpc shutdown' };
    const answers = c.messages.filter((m) => m.op === 'rpcResult');
    assert.deepEqual(answers.filter((m) => m.correlationId).map((m) => m.correlationId).sort(), ids);
    assert.equal(answers.length, 4);
    for (const { correlationId, ...rest } of answers) assert.deepEqual(rest, said, correlationId);
    assert.equal(c.closed.code, code);
    assert.equal(idle.messages.filter((m) => m.op === 'rpcResult').length, 0);
  });
}

test('without Kafka a call is answered "SQL RPC client is not available" at once', { timeout: 60000 }, async (t) => {
  const hg = await startHeadgate({
    until: 'live', options: { workers: 1, kafka_brokers: `127.0.0.1:${await freePort()}`, rpc_timeout: '50s' }, expectErrors: [/kafka/i],
  });
  t.after(() => !hg.isRunning() || hg.stop('SIGINT'));
  const c = await Client.open(hg.url);
  t.after(() => c.terminate());
  for (const method of ['GET_DATA', 'TABLE_EXISTS']) assert.equal(await call(c, method), 'SQL RPC client is not available');
  await c.ping();
});

test('a broker that goes away: calls are answered at once, not at their deadline; when it is back, from the worker again', { timeout: 120000 }, async (t) => {
  const kafka = await startKafka();
  const s = await stage(t, { kafka, sql: { reply: { bool: true } }, options: { workers: 1, rpc_timeout: '40s' }, expectErrors: [/kafka/i] });
  const c = s.keep(await Client.open(s.hg.url));
  assert.equal(await call(c), true);
  await kafka.kill();
  await waitFor(async () => await s.hg.metric('headgate_kafka_up') === 0, { what: 'the gateway to notice' });
  for (const method of ['TABLE_EXISTS', 'DELETE_ROW']) assert.equal(await call(c, method), 'SQL RPC client is not available');
  await kafka.start();
  await waitFor(async () => await call(c) === true, { ms: 60000, what: 'the worker to answer again' });
  assert.equal(await s.hg.metric('headgate_rpc_timeouts_total'), 0);
});

// --- B-24: reply topics ---

/** What the broker knows: names of topics that begin so, and consumer groups. */
async function broker(brokers, beginning) {
  const admin = kafkaClient(brokers).admin();
  await admin.connect();
  try {
    return {
      topics: (await admin.listTopics()).filter((name) => name.startsWith(beginning)),
      groups: (await admin.listGroups()).groups.map((g) => g.groupId),
    };
  } finally {
    await admin.disconnect();
  }
}

test('B-24: each gateway assigns a reply topic of its own, without a group, and deletes it when it ends', { timeout: 90000 }, async (t) => {
  const s = await stage(t, { sql: { reply: ({ tableName }) => ({ row: JSON.stringify({ tableName }) }) }, hosts: 2, options: { workers: 2 } });
  const own = (list) => list.filter((name) => used.has(name));
  const before = await broker(s.kafka.brokers, 'sql.rpc.responses.ws.');
  const clients = s.keep(await Promise.all(s.hosts.flatMap((hg) => Array.from({ length: 6 }, () => Client.open(hg.url)))));
  // All at once, from each: with a shared group some answers would go to the other gateway.
  const answers = await Promise.all(clients.flatMap((c, i) => Array.from({ length: 10 }, (_, k) => call(c, 'GET_SINGLE', { table: `t${i}-${k}` }))));
  assert.deepEqual(answers.map((a) => a.tableName).sort(), clients.flatMap((_, i) => Array.from({ length: 10 }, (_, k) => `t${i}-${k}`)).sort());
  const used = new Set(s.db.calls.map((r) => r.replyTopic));
  assert.ok(used.size >= 2 && used.size <= 4, `a topic per worker: ${[...used]}`);
  for (const name of used) assert.match(name, /^sql\.rpc\.responses\.ws\.[A-Za-z0-9._-]+\.[0-9]+\.[0-9a-z]+$/);
  assert.deepEqual(own(before.topics).sort(), [...used].sort(), 'the broker has them');
  assert.deepEqual(before.groups.filter((g) => /ws-gateway|headgate/.test(g)), [], 'no group of a gateway');
  for (const hg of s.hosts) {
    assert.equal(await hg.metric('headgate_rpc_strays_total'), 0);
    assert.equal(await hg.metric('headgate_rpc_timeouts_total'), 0);
  }
  for (const c of clients) c.terminate();
  for (const hg of s.hosts) await hg.stop();
  await waitFor(async () => own((await broker(s.kafka.brokers, 'sql.rpc.responses.ws.')).topics).length === 0, { what: 'the reply topics to be gone' });
});

test('B-24: gateways that share a fixed reply topic each take their own replies, and leave it standing', { timeout: 90000 }, async (t) => {
  const s = await stage(t, {
    sql: { reply: ({ tableName }) => ({ row: JSON.stringify({ tableName }) }) }, hosts: 2,
    options: { workers: 1, sql_rpc_request_topic: 'nowhere' }, // the environment stands above the file
    env: (topics) => ({ SQL_RPC_REQUEST_TOPIC: topics.requests, SQL_RPC_REPLY_TOPIC: `replies.${topics.tag}` }),
  });
  const clients = s.keep(await Promise.all(s.hosts.map((hg) => Client.open(hg.url))));
  const answers = await Promise.all(clients.flatMap((c, i) => Array.from({ length: 20 }, (_, k) => call(c, 'GET_SINGLE', { table: `t${i}-${k}` }))));
  assert.equal(new Set(answers.map((a) => a.tableName)).size, 40);
  assert.deepEqual([...new Set(s.db.calls.map((r) => r.replyTopic))], [`replies.${s.topics.tag}`]);
  await waitFor(async () => (await Promise.all(s.hosts.map((hg) => hg.metric('headgate_rpc_strays_total')))).every((x) => x === 20),
    { what: "the other's replies to be passed over" });
  for (const c of clients) c.terminate();
  for (const hg of s.hosts) await hg.stop();
  assert.deepEqual((await broker(s.kafka.brokers, 'replies.')).topics.filter((name) => name.endsWith(s.topics.tag)), [`replies.${s.topics.tag}`]);
});
