// SLOW_SOCKET_PAUSE_THRESHOLD (spec 9): Kafka is not read while more clients of the host than that are slow, whichever worker
// they are at, nor are partitions that appear meanwhile; then everything comes, in order.
// Not tested here: a slow client that goes (compat_live, B-16).
import test from 'node:test';
import assert from 'node:assert/strict';
import { Client, clientsOnEachWorker } from '../support/client.mjs';
import { faultsOf } from '../support/database.mjs';
import { ownerOfConnection } from '../support/proc.mjs';
import { stage } from '../support/stage.mjs';
import { waitFor } from '../support/wait.mjs';

test('B-17: the pause counts the clients of all workers, holds for partitions that come meanwhile, and ends when they read', { timeout: 120000 }, async (t) => {
  const s = await stage(t, {
    partitions: 2,
    options: { workers: 2, out_stall: '1h', out_grace: '1h', held_records: '100000', held_bytes: '256m', kafka_metadata_interval: '200ms' },
    env: { SLOW_SOCKET_PAUSE_THRESHOLD: '1' },
  });
  const metric = (name) => s.hg.metric(`headgate_${name}`);
  const byPid = await clientsOnEachWorker(s.hg, 1, ownerOfConnection);
  const slow = s.keep([...byPid.values()].map(([c]) => c)), fast = s.keep(await Client.open(s.hg.url));
  for (const c of [...slow, fast]) for (const h of ['h', 'i', 'j', 'k']) await c.subscribe('t', h);
  for (const c of slow) c.pause(); // one at each worker: alone neither would be too many
  let n = 0;
  const commit = (count, bytes) => {
    for (let i = 0; i < count; i++) s.db.commit('t', 'h', `${i % 20}`, { n: n++ }, { bytes });
    return s.db.flush();
  };
  await waitFor(async () => {
    await commit(500, 2000);
    return await metric('paused') === 2;
  }, { ms: 60000, what: 'both workers to pause' });
  assert.equal(await metric('slow_clients'), 2);

  const admin = s.db.kafka.admin();
  await admin.connect();
  await admin.createPartitions({ topicPartitions: [{ topic: s.topics.diffs, count: 6 }] });
  await admin.disconnect();
  const before = await metric('records_total');
  await waitFor(async () => await metric('partitions') === 6 + 1, { what: 'the new partitions to be assigned' }); // and that of row events
  const producer = s.db.kafka.producer(); // a new one: kafkajs remembers partitions for long
  t.after(() => producer.disconnect());
  await producer.connect();
  for (const [i, hashId] of ['i', 'j', 'k'].entries()) {
    s.db.commit('t', hashId, 'x', {});
    await producer.send({ topic: s.topics.diffs, messages: s.db.outbox.splice(0).map((m) => ({ ...m, partition: 3 + i })) });
  }
  await commit(10, 0);
  await waitFor(async () => await metric('lag_records') >= 13, { what: 'records that nobody reads' });
  assert.equal(await metric('records_total'), before, 'nothing was read while paused');
  assert.equal(await metric('paused'), 2);

  for (const c of slow) c.resume();
  await waitFor(async () => await metric('paused') === 0, { what: 'the end of the pause' });
  const last = (h) => s.db.lsnsAfter('t', h, 0n).at(-1);
  for (const c of [...slow, fast]) {
    for (const h of ['h', 'i', 'j', 'k']) {
      await c.until(() => c.sub(h).diffs.at(-1)?.lsn === last(h), { ms: 60000, what: `all of ${h}` });
      assert.deepEqual(faultsOf(s.db, 't', c.sub(h), { whole: true }), []);
    }
    assert.deepEqual(c.messages.filter((m) => m.op === 'error'), []);
  }
});
