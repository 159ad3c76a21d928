// Promise 1 while it is hardest to keep: a producer never stops while 1,000 subscriptions come and go on two workers. The
// snapshot and the diffs of each make up the table's true history: 0 gaps, 0 repeats. Rows come from the primary without a
// named position; from the primary with one; and from a replica that lags and names its position (there snapshot_failed is
// an honest answer).
// Not tested here: a replica that lags and names nothing (it loses changes, and nothing here can see it).
import test from 'node:test';
import assert from 'node:assert/strict';
import { clientsOnEachWorker } from '../support/client.mjs';
import { faultsOf } from '../support/database.mjs';
import { ownerOfConnection } from '../support/proc.mjs';
import { producing, random, stage, streams } from '../support/stage.mjs';
import { load } from '../support/wait.mjs';

const SUBSCRIPTIONS = load(1000);

async function race(t, sql, { mayFail = false } = {}) {
  const s = await stage(t, { partitions: 6, sql, options: { workers: 2, interest_linger: '500ms' } });
  const list = streams(40, 4);
  for (const { table, hashId } of list) s.db.commit(table, hashId, `${hashId}:0`, { n: -1 });
  await s.db.flush();
  const clients = s.keep([...(await clientsOnEachWorker(s.hg, 8, ownerOfConnection)).values()].flat());
  const source = producing(s.db, list);
  const faults = [];
  let left = SUBSCRIPTIONS, failed = 0, snapshots = 0, diffs = 0;

  // One client's share: subscribe to a stream, take some diffs, unsubscribe; judge; again.
  async function comeAndGo(c, seed) {
    const pick = random(seed);
    while (left > 0) {
      left--;
      const { table, hashId } = list[pick(list.length)];
      const some = 1 + pick(12);
      try {
        await c.subscribe(table, hashId);
      } catch (error) {
        if (!mayFail || !/snapshot_failed/.test(error.message)) faults.push(`subscribe ${hashId}: ${error.message}`);
        failed++;
        c.subs.delete(hashId);
        if (c.closed) return;
        continue;
      }
      const sub = c.sub(hashId);
      await c.until(() => sub.diffs.length >= some, { what: `${some} diffs of ${hashId}` }).catch((e) => faults.push(e.message));
      c.unsubscribe(table, hashId);
      await c.ping();
      snapshots++;
      diffs += sub.diffs.length;
      for (const fault of faultsOf(s.db, table, sub)) faults.push(`${hashId}: ${fault}`);
      c.subs.delete(hashId);
      await c.ping();
      if (c.subs.has(hashId)) faults.push(`${hashId}: a frame after unsubscribe and pong`);
      c.subs.delete(hashId);
    }
  }
  await Promise.all(clients.map((c, i) => comeAndGo(c, 1000 + i * 77)));
  await source.stop();
  t.diagnostic(`${snapshots} subscriptions, ${failed} failed, ${diffs} diffs judged, ${source.commits()} commits, ${s.db.calls.length} SQL calls`);
  assert.deepEqual(faults.slice(0, 5), [], `${faults.length} faults`);
  assert.ok(snapshots >= SUBSCRIPTIONS / 2, `${snapshots} of ${SUBSCRIPTIONS} subscriptions had a snapshot`);
}

const delayMs = (() => {
  const pick = random(7);
  return () => pick(30);
})();

test('rows of the primary, position not named', { timeout: 300000 }, (t) => race(t, { delayMs }));

test('rows of the primary, position named', { timeout: 300000 }, (t) => race(t, { delayMs, nameLsn: true }));

test('B-25: rows of a replica that lags, position named', { timeout: 300000 }, (t) =>
  race(t, { delayMs, nameLsn: true, replica: { lagMs: 120 } }, { mayFail: true }));
