// Promise 1 and the main job: with 3 workers, 12 partitions, 200 streams and 300 clients every client gets exactly the
// diffs of its subscriptions, once and in LSN order; the same over two hosts that share one Redis.
// Not tested here: subscribing while diffs flow (subscribe_race), workers that die (dead_worker).
import test from 'node:test';
import assert from 'node:assert/strict';
import { openClients } from '../support/client.mjs';
import { faultsOf } from '../support/database.mjs';
import { ownerOfConnection } from '../support/proc.mjs';
import { sharedRedis } from '../support/redis.mjs';
import { random, stage, streams } from '../support/stage.mjs';
import { load, waitFor } from '../support/wait.mjs';

const CLIENTS = 300, DIFFS = load(50000);

async function fanOut(t, s) {
  const list = streams(200, 20);
  for (const [i, { table, hashId }] of list.entries()) s.db.commit(table, hashId, `${hashId}:0`, { n: -i });
  await s.db.flush();

  const clients = s.keep(await openClients(CLIENTS, (i) => s.hosts[i % s.hosts.length].url));
  const wanted = clients.map((_, i) => [list[i % 200], list[(i * 7 + 3) % 200]].filter((x, k, both) => k === 0 || x !== both[0]));
  await Promise.all(clients.map((c, i) => Promise.all(wanted[i].map(({ table, hashId }) => c.subscribe(table, hashId)))));
  const used = new Set(clients.map((c, i) => ownerOfConnection(s.hosts[i % s.hosts.length].workers().map((w) => w.pid), c.localPort)));
  assert.ok(used.size >= 3, `connections reached ${used.size} workers only`);

  const pick = random(42);
  const began = Date.now();
  for (let n = 0; n < DIFFS; n++) {
    const { table, hashId } = list[pick(200)];
    s.db.commit(table, hashId, `${hashId}:${pick(20)}`, { n });
    if (n % 2000 === 1999) await s.db.flush();
  }
  await s.db.flush();
  const due = clients.map((c, i) => wanted[i].map(({ table, hashId }) => {
    const sub = c.sub(hashId);
    return s.db.lsnsAfter(table, hashId, sub.snapshots.at(-1).lsn).length;
  }));
  await waitFor(() => clients.every((c, i) => wanted[i].every(({ hashId }, k) => c.sub(hashId).diffs.length >= due[i][k])),
    { ms: 60000, what: 'all diffs at all clients' }).catch(() => {}); // what is missing is named below
  const took = Date.now() - began;
  // What must not come has had its chance too: everything sent before the pong has been read.
  await Promise.all(clients.map((c) => c.ping()));

  const faults = [];
  for (const [i, c] of clients.entries()) {
    for (const { table, hashId } of wanted[i]) {
      for (const fault of faultsOf(s.db, table, c.sub(hashId), { whole: true })) faults.push(`client ${i} ${hashId}: ${fault}`);
    }
    if (c.subs.size !== wanted[i].length) faults.push(`client ${i} got diffs of ${[...c.subs.keys()]}`);
    if (c.closed) faults.push(`client ${i} was closed: ${c.closed.code} ${c.closed.reason}`);
    const errors = c.messages.filter((m) => m.op === 'error');
    if (errors.length) faults.push(`client ${i}: ${JSON.stringify(errors[0])}`);
  }
  const total = clients.reduce((n, c) => n + c.binary, 0);
  t.diagnostic(`${DIFFS} diffs, ${total} deliveries in ${took} ms`);
  assert.deepEqual(faults.slice(0, 5), [], `${faults.length} faults`);
}

test('one host: 3 workers, 12 partitions, 200 streams, 300 clients', { timeout: 300000 }, async (t) => {
  await fanOut(t, await stage(t, { partitions: 12, options: { workers: 3 } }));
});

test('B-18: two hosts with one Redis: the same diffs reach the clients of both', { timeout: 300000 }, async (t) => {
  const redis = await sharedRedis();
  await fanOut(t, await stage(t, { partitions: 12, hosts: 2, options: { workers: 2, backplane: 'redis', backplane_url: redis.url } }));
});
