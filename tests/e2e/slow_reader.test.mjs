// A client that stops reading is told overflow, and in the end closed with 1013; memory stays bounded and its siblings get
// every diff. A client that reads never sees overflow, even when 10,000 diffs come at once.
// Not tested here: a client that reads, but slower than its diffs come, for hours.
import test from 'node:test';
import assert from 'node:assert/strict';
import { Client } from '../support/client.mjs';
import { faultsOf } from '../support/database.mjs';
import { memoryOf } from '../support/proc.mjs';
import { stage } from '../support/stage.mjs';
import { load, slowness, waitFor } from '../support/wait.mjs';

// More than the kernel's buffers of a loopback connection take (some 10 MB).
const FLOOD = 16000, BYTES = 2000;

async function flood(s, n = FLOOD) {
  for (let i = 0; i < n; i++) {
    s.db.commit('t', 'h', `${i % 20}`, { i }, { bytes: BYTES });
    if (i % 500 === 499) await s.db.flush();
  }
  await s.db.flush();
}

const workersMemory = (hg) => hg.workers().reduce((sum, w) => sum + memoryOf(w.pid), 0);

test('B-15, B-17: a client that stops reading: overflow, siblings untouched, memory bounded, subscribe again works', { timeout: 180000 }, async (t) => {
  const s = await stage(t, { options: { workers: 2, out_stall: '1h' } });
  const [slow, fast, sibling] = s.keep([await Client.open(s.hg.url), await Client.open(s.hg.url), await Client.open(s.hg.url)]);
  for (const c of [slow, fast, sibling]) await c.subscribe('t', 'h');
  await flood(s, 2000); // the histories are as large as they get
  await waitFor(() => [slow, fast, sibling].every((c) => c.binary >= 2000), { what: 'the first diffs' });
  const before = workersMemory(s.hg);

  slow.pause();
  await flood(s);
  await waitFor(async () => (await s.hg.metric('headgate_overflows_total')) > 0, { what: 'an overflow' });
  await waitFor(() => [fast, sibling].every((c) => c.binary >= FLOOD + 2000), { ms: 60000, what: 'the siblings\' diffs' });
  const grown = (workersMemory(s.hg) - before) / 2 ** 20;
  t.diagnostic(`workers' memory grew by ${grown.toFixed(1)} MiB while one of three clients did not read ${(FLOOD * BYTES / 2 ** 20).toFixed(0)} MiB`);
  if (slowness() === 1) assert.ok(grown < 24, `${grown} MiB`);
  for (const c of [fast, sibling]) {
    assert.deepEqual(faultsOf(s.db, 't', c.sub('h'), { whole: true }), []);
    assert.deepEqual(c.sub('h').errors, []);
  }

  slow.resume();
  await slow.until(() => slow.sub('h').errors.length, { what: 'the overflow frame' });
  assert.deepEqual(slow.sub('h').errors[0], { op: 'error', code: 'overflow', message: 'reset-to-snapshot', hashId: 'h' });
  assert.deepEqual(faultsOf(s.db, 't', slow.sub('h')), [], 'what came before the overflow has no gap');
  await slow.ping();
  const seen = slow.sub('h').diffs.length;
  await flood(s, 10);
  await slow.ping();
  await fast.until(() => fast.sub('h').diffs.length === FLOOD + 2010, { what: 'the sibling\'s last diffs' });
  await slow.ping();
  assert.equal(slow.sub('h').diffs.length, seen, 'nothing after overflow until it subscribes again');
  slow.subs.delete('h');
  await slow.subscribe('t', 'h');
  await flood(s, 50);
  await waitFor(() => slow.sub('h').diffs.length >= 50, { what: 'diffs after the new subscribe' });
  assert.deepEqual(faultsOf(s.db, 't', slow.sub('h'), { whole: true }), []);
});

test('one that takes nothing for out_stall is closed with 1013', { timeout: 120000 }, async (t) => {
  const s = await stage(t, { options: { workers: 1, out_stall: '2s', log_level: 'debug' } });
  const slow = s.keep(await Client.open(s.hg.url)), fast = s.keep(await Client.open(s.hg.url));
  for (const c of [slow, fast]) await c.subscribe('t', 'h');
  slow.pause();
  await flood(s);
  await waitFor(async () => (await s.hg.metric('headgate_connections')) === 1, { ms: 30000, what: 'the close of the slow client' });
  assert.match(s.hg.logText(), /1013/, 'the log names the close code');
  slow.resume();
  await slow.whenClosed();
  assert.ok([1013, 1006].includes(slow.closed.code), `closed with ${slow.closed.code}`);
  await waitFor(() => fast.binary >= FLOOD, { ms: 60000, what: 'the sibling\'s diffs' });
  assert.deepEqual(faultsOf(s.db, 't', fast.sub('h'), { whole: true }), []);
});

for (const profile of ['auto', 'v3']) {
  test(`a client that reads never sees overflow: 10,000 diffs at once (profile ${profile})`, { timeout: 120000 }, async (t) => {
    const s = await stage(t, { options: { workers: 1, profile } });
    const c = s.keep(await Client.open(s.hg.url));
    await c.subscribe('t', 'h');
    const many = load(10000);
    for (let i = 0; i < many; i++) s.db.commit('t', 'h', `${i % 20}`, { i }, { bytes: 200 });
    await s.db.flush(many);
    await waitFor(() => c.binary >= many || c.sub('h').errors.length || c.messages.some((m) => m.op === 'error'), { ms: 30000, what: 'all diffs' });
    assert.deepEqual(c.messages.filter((m) => m.op === 'error'), []);
    assert.deepEqual(faultsOf(s.db, 't', c.sub('h'), { whole: true }), []);
    assert.equal(await s.hg.metric('headgate_overflows_total'), 0);
  });
}
