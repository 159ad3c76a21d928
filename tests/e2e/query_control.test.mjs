// Which queries live (spec 13.1, B-11, B-23): each subscribe puts its query on the control topic; a null value comes there
// once, when the last subscriber of the whole cluster has left: by unsubscribe, by closing, with a worker that is killed, with
// a host that is killed; and never behind the query of somebody who stays. The living are told again (query_control_republish).
// Redis or Kafka being away stops nobody.
// Not tested here: single interleavings (worker/control_test), the bytes of queries (live_query, query_flatbuffers).
import test from 'node:test';
import assert from 'node:assert/strict';
import { Client, clientsOnEachWorker } from '../support/client.mjs';
import { startKafka } from '../support/kafka.mjs';
import { childrenOf, ownerOfConnection } from '../support/proc.mjs';
import { startRedis } from '../support/redis.mjs';
import { stage } from '../support/stage.mjs';
import { tail } from '../support/topic.mjs';
import { waitFor } from '../support/wait.mjs';

const quick = { interest_linger: '50ms', query_control_lease: '1500ms' };

async function scene(t, { options = {}, redis = true, ...more } = {}) {
  const server = redis && await startRedis();
  const s = await stage(t, {
    hosts: 2, ...more,
    options: (topics) => ({ workers: 2, ...quick, ...(server ? { registry_url: server.url } : {}), ...(typeof options === 'function' ? options(topics) : options) }),
  });
  if (server) t.after(() => server.stop()); // after the hosts
  s.redis = server;
  s.control = await tail(t, s.kafka, s.topics.control);
  /** 'q' per query, 'n' per null value, in the order of the log. */
  s.told = (hashId) => s.control.of(`demo_orders|${hashId}`).map((r) => (r.value === null ? 'n' : 'q')).join('');
  s.client = async (hg, how) => s.keep(await Client.open(hg.url, how));
  s.untilTold = (hashId, want) => waitFor(() => (want instanceof RegExp ? want.test(s.told(hashId)) : s.told(hashId) === want),
    { ms: 20000, what: () => `${hashId} told as ${want}, got ${s.told(hashId)}` });
  /** Somebody comes and goes: when that is told, what was before it is, too (one partition). His worker tells his query again
   * when its own link to Redis comes up behind that of the others. */
  s.marks = 0;
  s.mark = async (hg) => {
    const hashId = `mark${s.marks++}`;
    const c = await s.client(hg);
    c.send({ op: 'subscribe', table: 'orders', hashId, queryJson: '{}' }); // its snapshot does not matter
    await s.untilTold(hashId, /^q+$/);
    await c.close();
    await s.untilTold(hashId, /^q+n$/);
  };
  return s;
}

test('B-11 B-23: the last subscriber of the cluster leaves, and one null value is told', { timeout: 90000 }, async (t) => {
  const s = await scene(t);
  const [a, b, b2] = [await s.client(s.hosts[0]), await s.client(s.hosts[1]), await s.client(s.hosts[1])];
  for (const c of [a, b, b2]) await c.subscribe('orders', 'q');
  await s.untilTold('q', 'qqq');
  a.unsubscribe('orders', 'q');
  await a.ping();
  b.unsubscribe('orders', 'q');
  await b.ping();
  await s.mark(s.hosts[0]);
  assert.equal(s.told('q'), 'qqq', 'the other host has it');
  await b2.close();
  await s.untilTold('q', 'qqqn');
  const end = s.control.of('demo_orders|q').at(-1);
  assert.equal(end.value, null, 'a null value, not an empty one');
  b.unsubscribe('orders', 'q');
  b.unsubscribe('orders', 'never was');
  await b.subscribe('orders', 'q');
  await s.untilTold('q', 'qqqnq');
  await b.close();
  await s.untilTold('q', 'qqqnqn');
  await s.mark(s.hosts[1]);
  assert.equal(s.told('q'), 'qqqnqn');
  assert.equal(s.told('never was'), '');
  const look = s.redis.client();
  const leftovers = (await look.keys('headgate:q:*')).map((k) => k.replace(/:m:.*/, ':m')).filter((k) => !/leases|epoch/.test(k));
  look.disconnect();
  assert.deepEqual(leftovers, [], 'nothing stays behind in Redis');
});

test('B-11: a killed worker\'s queries end once, but not those that others have', { timeout: 90000 }, async (t) => {
  const s = await scene(t, { expectErrors: [/worker\.died/] });
  const perWorker = await clientsOnEachWorker(s.hosts[0], 1, ownerOfConnection);
  const [[victim, [v]], [, [sibling]]] = [...perWorker];
  s.keep([...perWorker.values()].flat());
  const other = await s.client(s.hosts[1]);
  for (const hashId of ['only', 'sibling', 'other']) await v.subscribe('orders', hashId);
  await sibling.subscribe('orders', 'sibling');
  await other.subscribe('orders', 'other');
  await s.untilTold('other', 'qq');
  process.kill(victim, 'SIGKILL');
  await s.untilTold('only', 'qn');
  await s.mark(s.hosts[1]);
  assert.deepEqual(['only', 'sibling', 'other'].map(s.told), ['qn', 'qq', 'qq']);
  await sibling.close();
  await other.close();
  await s.untilTold('sibling', 'qqn');
  await s.untilTold('other', 'qqn');
});

// A worker that stops may have told an end and not live to note that down: then a survivor tells it once more.
const goneHosts = {
  killed: (hg) => { for (const pid of [hg.pid, ...childrenOf(hg.pid).map((c) => c.pid)]) process.kill(pid, 'SIGKILL'); },
  stopped: (hg) => hg.stop(),
};
for (const [how, end] of Object.entries(goneHosts)) {
  test(`B-11: the queries of a host that is ${how} are ended by the other host, once`, { timeout: 90000 }, async (t) => {
    const s = await scene(t);
    const [a, b] = [await s.client(s.hosts[0]), await s.client(s.hosts[1])];
    const many = Array.from({ length: 30 }, (_, i) => `h${i}`);
    for (const hashId of many) await a.subscribe('orders', hashId);
    await a.subscribe('orders', 'both');
    await b.subscribe('orders', 'both');
    await s.untilTold('both', 'qq');
    await end(s.hosts[0]);
    for (const hashId of many) await s.untilTold(hashId, /^qn/);
    await s.mark(s.hosts[1]);
    for (const hashId of many) assert.match(s.told(hashId), how === 'killed' ? /^qn$/ : /^qnn?$/, hashId);
    assert.equal(s.told('both'), 'qq');
    if (how === 'killed') assert.equal(await s.hosts[1].metric('headgate_control_swept_total'), many.length);
  });
}

test('B-11: with subscribers coming and going on both hosts the last word is true', { timeout: 120000 }, async (t) => {
  const s = await scene(t, { options: { interest_linger: '0' } });
  const clients = await Promise.all([0, 0, 0, 1, 1, 1].map((h) => s.client(s.hosts[h])));
  const queries = ['c0', 'c1', 'c2', 'c3', 'c4'];
  let seed = 20240607;
  const random = (n) => (seed = (Math.imul(seed, 1103515245) + 12345) >>> 0) % n;
  const has = clients.map(() => new Set());
  for (let round = 0; round < 300; round++) {
    const i = random(clients.length), q = queries[random(queries.length)];
    if (has[i].has(q)) clients[i].unsubscribe('orders', q);
    else clients[i].send({ op: 'subscribe', table: 'orders', hashId: q, queryJson: '{}' });
    has[i].has(q) ? has[i].delete(q) : has[i].add(q);
    if (round % 10 === 0) await clients[i].ping();
  }
  for (const c of clients) await c.ping();
  for (const [i, c] of clients.entries()) {
    for (const q of queries.slice(0, 3)) if (has[i].has(q)) c.unsubscribe('orders', q); // these end, the others are held
  }
  for (const q of queries.slice(3)) clients[5].send({ op: 'subscribe', table: 'orders', hashId: q, queryJson: '{}' });
  for (const c of clients) await c.ping();
  const last = (q) => s.told(q).at(-1);
  await waitFor(() => queries.every((q, i) => last(q) === (i < 3 ? 'n' : 'q')), { what: () => `the end of ${queries.map((q) => `${q} ${s.told(q)}`)}` });
  await s.mark(s.hosts[0]);
  await s.mark(s.hosts[1]);
  assert.deepEqual(queries.map(last), ['n', 'n', 'n', 'q', 'q']);
});

test('a query that has a bare stream beside its other one ends with the last of both', { timeout: 90000 }, async (t) => {
  const s = await scene(t, { redis: false, hosts: 1, options: (topics) => ({ workers: 1, kafka_topics: `${topics.diffs}:bare,${topics.rows}:row` }) });
  for (const [first, last] of [[['json'], []], [[], ['json']]]) {
    const hashId = `q${first}`;
    const [a, b] = [await s.client(s.hg, { protocols: first }), await s.client(s.hg, { protocols: last })];
    for (const c of [a, b]) await c.subscribe('orders', hashId);
    await s.untilTold(hashId, 'qq');
    await a.close();
    await s.mark(s.hg);
    assert.equal(s.told(hashId), 'qq');
    await b.close();
    await s.untilTold(hashId, 'qqn');
  }
});

test('the living are told again by each worker, what ended is not', { timeout: 90000 }, async (t) => {
  const s = await scene(t, { hosts: 1, options: { query_control_republish: '640ms', workers: 1 } });
  const c = await s.client(s.hg);
  for (const q of ['a', 'b', 'gone']) await c.subscribe('orders', q, { queryJson: JSON.stringify({ hash: q }) });
  c.unsubscribe('orders', 'gone');
  await s.untilTold('gone', /n$/);
  const ended = s.told('gone');
  await s.untilTold('a', /^qqqq/);
  await s.untilTold('b', /^qqqq/);
  assert.equal(s.told('gone'), ended);
  const values = s.control.of('demo_orders|a').map((r) => r.value.toString('hex'));
  assert.equal(new Set(values).size, 1, 'the same bytes each time');
  assert.ok(await s.hg.metric('headgate_control_republished_total') >= 4);
});

test('without Redis a host of several workers tells the end by itself, at the last worker and at its own end', { timeout: 90000 }, async (t) => {
  const s = await scene(t, { redis: false, hosts: 1 });
  const perWorker = await clientsOnEachWorker(s.hg, 1, ownerOfConnection);
  s.keep([...perWorker.values()].flat());
  const [[a], [b]] = [...perWorker.values()];
  await a.subscribe('orders', 'q');
  await b.subscribe('orders', 'q');
  await b.subscribe('orders', 'held');
  await a.close();
  await s.mark(s.hg);
  assert.equal(s.told('q'), 'qq');
  b.unsubscribe('orders', 'q');
  await s.untilTold('q', 'qqn');
  await s.hg.stop();
  await s.untilTold('held', 'qn');
  assert.equal(s.told('q'), 'qqn');
});

test('B-11: Redis restarted without what it knew: subscribes go on, ends are told when it is back, and no other', { timeout: 90000 }, async (t) => {
  const s = await scene(t, { options: { query_control_lease: '6s' } }); // more than a link takes to come back
  const [a, b] = [await s.client(s.hosts[0]), await s.client(s.hosts[1])];
  await a.subscribe('orders', 'ends');
  await a.subscribe('orders', 'stays');
  await b.subscribe('orders', 'others');
  await s.redis.kill();
  await waitFor(async () => await s.hosts[0].metric('headgate_registry_up') === 0, { what: 'the registry to be missed' });
  await b.subscribe('orders', 'new');
  await s.untilTold('new', 'q');
  a.unsubscribe('orders', 'ends');
  await waitFor(async () => await s.hosts[0].metric('headgate_control_queries') === 1, { what: 'the end, while Redis is away' });
  await s.redis.start(); // with nothing in it
  await s.untilTold('ends', /n$/);
  await s.mark(s.hosts[0]);
  await s.mark(s.hosts[1]);
  assert.equal(s.told('ends'), 'qn');
  for (const hashId of ['stays', 'new', 'others']) assert.match(s.told(hashId), /^q+$/, hashId);
  a.unsubscribe('orders', 'stays');
  await s.untilTold('stays', /^q+n$/);
});

test('Kafka away: nothing waits, what it did not get is counted and told when it is back', { timeout: 180000 }, async (t) => {
  const kafka = await startKafka();
  const s = await scene(t, { kafka: { ...kafka, stop: () => {} }, hosts: 1, options: { workers: 1, attach_timeout: '1s', rpc_timeout: '2s', query_control_republish: '5s', query_control_lease: '3s' } });
  t.after(() => kafka.stop()); // after those who read it
  const c = await s.client(s.hg);
  await c.subscribe('orders', 'before');
  await s.untilTold('before', /^q/);
  await kafka.stop();
  const turns = () => s.hg.metric('headgate_loop_turns_total');
  for (let i = 0; i < 200; i++) c.send({ op: 'subscribe', table: 'orders', hashId: `new${i}`, queryJson: '{}' });
  c.send({ op: 'rpc', method: 'GET_DATA', table: 'orders', correlationId: 'x' });
  await c.ping(2000);
  const result = await c.message({ op: 'rpcResult', correlationId: 'x' }, { ms: 10000 });
  assert.equal(result.ok, false);
  await waitFor(() => Array.from({ length: 200 }, (_, i) => c.sub(`new${i}`).errors.length).every((n) => n === 1), { ms: 20000, what: 'an error for each subscribe' });
  const before = await turns();
  await waitFor(async () => await s.hg.metric('headgate_control_failed_total') >= 200, { ms: 20000, what: 'the failed control messages' });
  await waitFor(async () => await turns() > before, { what: 'further turns of the loop' });
  assert.ok(await s.hg.metric('headgate_control_bytes') < 100000);
  await kafka.start();
  await waitFor(async () => (await s.hg.readiness()).ok, { ms: 60000, what: 'readiness after Kafka\'s return' });
  c.send({ op: 'subscribe', table: 'orders', hashId: 'late', queryJson: '{}' }); // told before its snapshot is asked for
  await s.untilTold('late', /^q/);
  await s.untilTold('before', /^qq/); // by query_control_republish
  for (const i of [0, 99, 199]) await s.untilTold(`new${i}`, /n$/); // they ended without a subscriber
});
