// Bad records, disorder and vanishing topics hurt the stream they touch and nobody else: no key, no value, no LSN, a 7-byte
// LSN, 20 MB; LSNs that repeat and fall; a topic made after the gateway's start, deleted and made anew.
// Not tested here: Kafka itself going away (kafka_restart), a record that kills workers (dead_worker).
import test from 'node:test';
import assert from 'node:assert/strict';
import { openClients } from '../support/client.mjs';
import { faultsOf, lsnHeader } from '../support/database.mjs';
import { kafkaClient, makeTopics } from '../support/kafka.mjs';
import { stage } from '../support/stage.mjs';
import { waitFor } from '../support/wait.mjs';

const key = (table, hashId) => `demo_${table}|${hashId}`;

/** A record for a stream, as a producer with a will of its own would write it. */
const record = (hashId, lsn, fields = {}, headers = { lsn: lsnHeader(lsn, 'binary') }) => ({
  key: key('t', hashId), value: JSON.stringify({ stream: key('t', hashId), lsn: String(lsn), ...fields }), headers,
});

const send = (s, messages, topic = s.topics.diffs) => s.db.producer.send({ topic, messages, acks: -1 });

/** Subscribers of h0 and of a bystander stream on connections enough to be on both workers. */
async function audience(s, n = 6) {
  const clients = s.keep(await openClients(2 * n, s.hg.url));
  const touched = clients.slice(0, n), bystanders = clients.slice(n);
  await Promise.all(touched.map((c) => c.subscribe('t', 'h0')));
  await Promise.all(bystanders.map((c) => c.subscribe('t', 'other')));
  return { clients, touched, bystanders };
}

const eachHas = (clients, hashId, n, ms = 20000) => waitFor(() => clients.every((c) => c.sub(hashId).diffs.length >= n),
  { ms, what: () => `${n} diffs of ${hashId}; there are ${clients.map((c) => c.sub(hashId).diffs.length)}` });

/** Commits, and waits until the gateway has consumed n records more: they are below the floor of who subscribes now. */
async function consumed(s, n, commit) {
  const before = await s.hg.metric('headgate_records_total');
  commit();
  await s.db.flush();
  await waitFor(async () => (await s.hg.metric('headgate_records_total')) >= before + n, { what: `${n} records consumed` });
}

/** Nobody closed, no error said, and the bystanders saw one snapshot and exactly `diffs` diffs. */
async function unharmed({ clients, bystanders }, diffs) {
  await eachHas(bystanders, 'other', diffs);
  await Promise.all(clients.map((c) => c.ping()));
  for (const c of clients) {
    assert.equal(c.closed, undefined);
    assert.deepEqual(c.messages.filter((m) => m.op === 'error'), []);
  }
  for (const c of bystanders) {
    assert.equal(c.sub('other').snapshots.length, 1);
    assert.equal(c.sub('other').diffs.length, diffs);
  }
}

const reset = (clients, hashId, times) => waitFor(
  () => clients.every((c) => c.sub(hashId).snapshots.filter((m) => m.reason === 'reset').length >= times),
  { ms: 30000, what: () => `${times} resets of ${hashId}; snapshots: ${clients.map((c) => c.sub(hashId).snapshots.map((m) => m.reason ?? '-'))}` });

test('records without key, value or LSN are counted and named, and nothing else happens', { timeout: 120000 }, async (t) => {
  const s = await stage(t, {});
  const all = await audience(s);
  const lsn = s.db.lsn + 10n;
  await send(s, [
    { key: null, value: 'no key', headers: { lsn: lsnHeader(lsn, 'text') } },
    { key: '', value: 'empty key', headers: { lsn: lsnHeader(lsn, 'text') } },
    { key: key('t', 'h0'), value: null, headers: { lsn: lsnHeader(lsn, 'text') } },
    record('h0', lsn, {}, {}),
    record('h0', lsn, {}, { lsn: Buffer.alloc(7, 1) }),
    record('h0', lsn, {}, { lsn: 'twelve' }),
    record('h0', lsn, {}, { lsn: '' }),
    record('h0', lsn + 1n, { good: true }),
    record('other', lsn + 2n),
  ]);
  await eachHas(all.touched, 'h0', 1);
  await unharmed(all, 1);
  for (const c of all.touched) assert.deepEqual(c.sub('h0').diffs.map((d) => d.data.good), [true]);
  await waitFor(async () => (await s.hg.metric('headgate_records_no_key_total')) === 3, { what: 'three records without key or value' });
  await waitFor(async () => (await s.hg.metric('headgate_records_no_lsn_total')) === 4, { what: 'four records without LSN' });
  assert.match(s.hg.logText(), new RegExp(`warn .*${s.topics.diffs.replace('.', '\\.')}`), 'a warning names the topic');
});

test('a record of 20 MB resets its stream and closes nobody', { timeout: 120000 }, async (t) => {
  const s = await stage(t, {});
  const all = await audience(s);
  s.db.commit('t', 'h0', 'a', { n: 1 });
  s.db.commit('t', 'h0', 'b', { n: 2 }, { bytes: 20 << 20 });
  s.db.commit('t', 'other', 'c', { n: 3 });
  await s.db.flush(1);
  await reset(all.touched, 'h0', 1);
  s.db.commit('t', 'h0', 'a', { n: 4 });
  s.db.commit('t', 'other', 'c', { n: 5 });
  await s.db.flush();
  await waitFor(() => all.touched.every((c) => c.sub('h0').diffs.at(-1)?.lsn === s.db.lsn - 1n), { what: 'the diff after the large one' });
  await unharmed(all, 2);
  for (const c of all.touched) {
    assert.deepEqual(faultsOf(s.db, 't', c.sub('h0'), { whole: true }), []);
    assert.equal(c.sub('h0').acks.length, 1, 'a reset is no new subscribe');
    assert.deepEqual(c.sub('h0').snapshots.at(-1).rows.find((row) => row.id === 'b')?.n, 2);
  }
  assert.equal(await s.hg.metric('headgate_records_stub_total'), 1);
});

test('equal LSNs: all that differ from the one before are handed on', { timeout: 120000 }, async (t) => {
  const s = await stage(t, {});
  const all = await audience(s);
  const lsn = s.db.lsn + 10n;
  await send(s, [record('h0', lsn, { x: 1 }), record('h0', lsn, { x: 2 }), record('h0', lsn, { x: 1 }), record('h0', lsn, { x: 1 }),
    record('h0', lsn + 1n, { x: 3 }), record('other', lsn)]);
  await eachHas(all.touched, 'h0', 4);
  await unharmed(all, 1);
  for (const c of all.touched) {
    assert.deepEqual(c.sub('h0').diffs.map((d) => d.data.x), [1, 2, 1, 3]);
    assert.equal(c.sub('h0').snapshots.length, 1);
  }
});

test('falling LSNs: a replay is dropped, disorder resets the stream', { timeout: 120000 }, async (t) => {
  const s = await stage(t, {});
  await consumed(s, 1, () => s.db.commit('t', 'h0', 'a', { n: 1 }));
  const all = await audience(s);
  const floor = s.db.lsn, lsn = floor + 100n;
  await send(s, [record('h0', lsn, { x: 1 }), record('h0', lsn + 10n, { x: 2 }),
    record('h0', lsn, { x: 1 }), // the producer's replay: known, equal bytes
    record('h0', floor, { x: 'old' }), // what the snapshot has already
    record('h0', lsn + 20n, { x: 3 })]);
  await eachHas(all.touched, 'h0', 3);
  await unharmed(all, 0);
  for (const c of all.touched) {
    assert.deepEqual(c.sub('h0').diffs.map((d) => d.data.x), [1, 2, 3]);
    assert.equal(c.sub('h0').snapshots.length, 1);
  }
  assert.ok(await s.hg.metric('headgate_records_replayed_total') >= 1);
  assert.equal(await s.hg.metric('headgate_records_disorder_total'), 0);

  await send(s, [record('h0', lsn + 15n, { x: 'late' })]);
  await reset(all.touched, 'h0', 1);
  await send(s, [record('h0', lsn + 30n, { x: 4 }), record('other', lsn + 31n)]);
  await eachHas(all.touched, 'h0', 4);
  await unharmed(all, 1);
  for (const c of all.touched) assert.deepEqual(c.sub('h0').diffs.map((d) => d.data.x), [1, 2, 3, 4]);
  assert.ok(await s.hg.metric('headgate_records_disorder_total') >= 1);
});

test('disorder among held records mends itself', { timeout: 120000 }, async (t) => {
  let release;
  const s = await stage(t, {});
  await consumed(s, 1, () => s.db.commit('t', 'h0', 'a', { n: 1 }));
  const gate = new Promise((resolve) => { release = resolve; });
  const answer = s.db.answer.bind(s.db);
  s.db.answer = async (request) => {
    await gate;
    return answer(request);
  };
  const [c] = s.keep(await openClients(1, s.hg.url));
  c.send({ op: 'subscribe', table: 't', hashId: 'h0', queryJson: '{}' });
  await c.until(() => c.sub('h0').acks.length === 1, { what: 'ack' });
  const before = await s.hg.metric('headgate_records_total');
  const lsn = s.db.lsn + 100n;
  await send(s, [record('h0', lsn + 2n, { x: 2 }), record('h0', lsn + 1n, { x: 1 }), record('h0', lsn + 3n, { x: 3 })]);
  await waitFor(async () => (await s.hg.metric('headgate_records_total')) >= before + 3, { what: 'three records consumed' });
  release();
  await eachHas([c], 'h0', 3);
  assert.deepEqual(c.sub('h0').diffs.map((d) => d.data.x), [1, 2, 3]);
  assert.equal(c.sub('h0').snapshots.length, 1);
  assert.equal(await s.hg.metric('headgate_records_disorder_total'), 0);
});

test('B-19: a topic made after the start is read from its first record', { timeout: 120000 }, async (t) => {
  const late = `late.${process.pid}.${Date.now()}`;
  const s = await stage(t, {
    options: (topics) => ({ kafka_topics: `${topics.headgate.kafka_topics},${late}:diff`, kafka_metadata_interval: '300ms' }),
  });
  const all = await audience(s);
  await makeTopics(s.kafka.brokers, { [late]: 3 });
  const lsn = s.db.lsn + 10n;
  await send(s, [0, 1, 2].map((partition) => ({ ...record('h0', lsn + BigInt(partition), { partition }), partition })), late);
  // Three partitions have no order among them: what arrives late may reset the stream, and must not be lost by that.
  await waitFor(() => all.touched.every((c) => c.sub('h0').diffs.length === 3 || c.sub('h0').snapshots.length > 1), { what: 'the records of the late topic' });
  await send(s, [record('other', lsn + 20n)]);
  await unharmed(all, 1);
  assert.ok(await s.hg.metric('headgate_records_total') >= 3);
});

test('a topic deleted and made anew: streams are reset and go on', { timeout: 180000 }, async (t) => {
  const s = await stage(t, { options: { kafka_metadata_interval: '300ms' }, expectErrors: [/kafka/i] });
  const [a, b] = [0, 1].map((i) => ({ table: 't', hashId: `h${i}` }));
  const clients = s.keep(await openClients(8, s.hg.url));
  await Promise.all(clients.map((c, i) => c.subscribe('t', i % 2 ? a.hashId : b.hashId)));
  const commitSome = (n) => {
    for (let i = 0; i < n; i++) s.db.commit('t', i % 2 ? a.hashId : b.hashId, `row${i % 7}`, { i });
  };
  const caughtUp = (c) => [...c.subs.values()].every((sub) => faultsOf(s.db, 't', sub, { whole: true }).length === 0);
  commitSome(40);
  await s.db.flush();
  await waitFor(() => clients.every(caughtUp), { what: 'the diffs before' });

  for (const round of [1, 2]) {
    const missed = () => (s.hg.logText().match(/kafka\.topic_gone/g) ?? []).length;
    const before = missed();
    const admin = kafkaClient(s.kafka.brokers).admin();
    await admin.connect();
    await admin.deleteTopics({ topics: [s.topics.diffs] });
    await waitFor(async () => !(await admin.listTopics()).includes(s.topics.diffs), { what: 'the end of the topic' });
    await admin.disconnect();
    if (round === 2) await waitFor(() => missed() === before + 2, { what: 'both workers to miss the topic' });
    await makeTopics(s.kafka.brokers, { [s.topics.diffs]: 4 });
    // Round 1: the new log is shorter than the old one. Round 2: it is longer by the time it is looked at.
    commitSome(round === 1 ? 4 : 200);
    await s.db.flush();
    await waitFor(() => clients.every((c) => [...c.subs.values()].every((sub) => sub.snapshots.filter((m) => m.reason === 'reset').length >= round)),
      { ms: 40000, what: () => `reset ${round}; the log ends:\n${s.hg.logText().slice(-1500)}` });
    commitSome(40);
    await s.db.flush();
    await waitFor(() => clients.every(caughtUp), { ms: 30000, what: 'the diffs after' }).catch(() => {});
    for (const c of clients) {
      for (const sub of c.subs.values()) assert.deepEqual([...sub.errors, ...faultsOf(s.db, 't', sub, { whole: true })], []);
    }
  }
  for (const c of clients) assert.equal(c.closed, undefined);
});
