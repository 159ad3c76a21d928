// Kafka stopped and started (and killed, and absent at the start): workers stay, connections stay, what is missing is said
// by readiness; a subscribe meanwhile fails in words, in time; afterwards every diff arrives, once, without a restart.
// Not tested here: a broker that answers slowly or only in part.
import test from 'node:test';
import assert from 'node:assert/strict';
import { openClients } from '../support/client.mjs';
import { Database, faultsOf } from '../support/database.mjs';
import { startHeadgate } from '../support/headgate.mjs';
import { ownTopics, startKafka } from '../support/kafka.mjs';
import { stage, streams } from '../support/stage.mjs';
import { waitFor } from '../support/wait.mjs';

const list = streams(8, 2);

function commitSome(db, n) {
  for (let i = 0; i < n; i++) {
    const { table, hashId } = list[i % list.length];
    db.commit(table, hashId, `${hashId}:${i % 5}`, { i });
  }
}

async function allArrive(s, clients) {
  await waitFor(() => clients.every((c) => [...c.subs.values()].every((sub) =>
    sub.diffs.length >= s.db.lsnsAfter(list.find((x) => x.hashId === sub.hashId).table, sub.hashId, sub.snapshots.at(-1).lsn).length)),
  { ms: 40000, what: 'all diffs' }).catch(() => {});
  await Promise.all(clients.map((c) => c.ping()));
  const faults = clients.flatMap((c) => [...c.subs.values()].flatMap((sub) => [
    ...sub.errors.map((e) => `${sub.hashId}: ${e.code}`),
    ...faultsOf(s.db, list.find((x) => x.hashId === sub.hashId).table, sub, { whole: true }).map((f) => `${sub.hashId}: ${f}`),
  ]));
  assert.deepEqual(faults.slice(0, 5), [], `${faults.length} faults`);
}

for (const how of ['stop', 'kill']) {
  test(`Kafka goes (${how}) and comes back`, { timeout: 240000 }, async (t) => {
    const kafka = await startKafka();
    const s = await stage(t, { kafka, options: { workers: 2, rpc_timeout: '2s' }, expectErrors: [/kafka/i] });
    commitSome(s.db, 20);
    await s.db.flush();
    const clients = s.keep(await openClients(8, s.hg.url));
    await Promise.all(clients.map((c, i) => c.subscribe(list[i].table, list[i].hashId)));
    commitSome(s.db, 400);
    await s.db.flush();
    await allArrive(s, clients);
    const pids = s.hg.workers().map((w) => w.pid);

    await kafka[how]();
    await waitFor(async () => {
      const r = await s.hg.readiness();
      return !r.ok && /kafka/i.test(r.text);
    }, { ms: 30000, what: 'readiness that names Kafka' });
    assert.equal((await fetch(`${s.hg.admin}/livez`)).status, 200, 'liveness does not depend on Kafka');
    await Promise.all(clients.map((c) => c.ping()));
    const failure = await clients[0].subscribe('t0', 'h2').then(() => 'a snapshot', (error) => error.message);
    assert.match(failure, /snapshot_failed/);
    clients[0].subs.delete('h2');
    commitSome(s.db, 400);
    const flushed = s.db.flush();

    await kafka.start();
    await flushed;
    await s.hg.ready(60000);
    commitSome(s.db, 400);
    await s.db.flush();
    await allArrive(s, clients);
    await waitFor(() => clients[0].subscribe('t0', 'h2').then(() => true, () => false), { ms: 30000, what: 'a subscribe after the return' });
    assert.deepEqual(s.hg.workers().map((w) => w.pid), pids, 'the same workers all the while');
  });
}

test('B-34: Kafka is absent when the gateway starts', { timeout: 120000 }, async (t) => {
  const started = [];
  t.after(async () => {
    for (const thing of started.reverse()) await thing.stop();
  });
  const kafka = await startKafka();
  started.push(kafka);
  // The topics are made, then Kafka goes: the gateway meets a machine where nobody listens.
  const topics = await ownTopics(kafka.brokers);
  await kafka.stop();
  const hg = await startHeadgate({
    options: { ...topics.headgate, workers: 2, rpc_timeout: '2s', attach_timeout: '1s' }, until: 'live', expectErrors: [/kafka/i],
  });
  started.push(hg);
  const readiness = await hg.readiness();
  assert.equal(readiness.status, 503);
  assert.match(readiness.text, /kafka/i);
  const [c] = await openClients(1, hg.url);
  await c.ping();
  await assert.rejects(c.subscribe('t0', 'h0'), /snapshot_failed/);

  await kafka.start();
  await hg.ready(60000);
  const db = new Database(kafka.brokers, topics);
  started.push(db);
  await db.connect();
  await db.serve({});
  await c.subscribe('t0', 'h0');
  db.commit('t0', 'h0', 'a', { n: 1 });
  await db.flush();
  await c.until(() => c.sub('h0').diffs.length === 1, { what: 'the first diff' });
  c.terminate();
});
