// headgate --dev: a newcomer gets broker, SQL worker, change source and console from one command; what dies of it comes back,
// and at the end nothing of it is left, neither a process nor a file.
// Not tested here: what the console page does in a browser, --dev on a real Kafka (make run-real).
import test from 'node:test';
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { Client } from '../support/client.mjs';
import { startHeadgate } from '../support/headgate.mjs';
import { childrenOf, stateOf, tempDir } from '../support/proc.mjs';
import { waitFor } from '../support/wait.mjs';

const beside = (hg) => Object.fromEntries(childrenOf(hg.pid).map(({ pid, title }) => [/sqlworker|changes|broker/.exec(title)?.[0] ?? `worker ${pid}`, pid]));

/** Rows of the demo table as a new connection gets them; throws what went wrong. */
async function rows(hg, hashId) {
  const c = await Client.open(hg.url);
  c.rawBinary = () => {};
  try {
    return (await c.subscribe('tasks', hashId, {}, 15000)).rows;
  } finally {
    c.terminate();
  }
}

async function eventually(hg, hashId, what) {
  return waitFor(async () => {
    try {
      return (await rows(hg, hashId)).length > 0;
    } catch {
      return false;
    }
  }, { ms: 60000, what });
}

test('--dev serves, heals, and leaves nothing behind', { timeout: 180000 }, async (t) => {
  const tmp = tempDir('dev');
  const hg = await startHeadgate({ flags: ['--dev'], env: { TMPDIR: tmp }, options: { workers: 2 }, expectErrors: [/dev\.ended/, /kafka/i, /broker/] });
  t.after(() => !hg.isRunning() || hg.stop('SIGINT'));
  await waitFor(() => hg.logText().includes(`http://${hg.ip === '127.0.0.1' ? 'localhost' : hg.ip}:${hg.port}/console/`), { what: 'the page to open' });
  assert.match(hg.logText(), /keeps nothing/);
  assert.equal((await fetch(`${hg.http}/console/`)).status, 200);
  assert.ok((await rows(hg, 'first')).length > 0, 'the demo table has rows');
  assert.equal(readdirSync(tmp).length, 1);

  const before = beside(hg);
  assert.deepEqual(Object.keys(before).filter((k) => !k.startsWith('worker')).sort(), ['broker', 'changes', 'sqlworker']);
  process.kill(before.sqlworker, 'SIGKILL');
  await waitFor(() => beside(hg).sqlworker && beside(hg).sqlworker !== before.sqlworker, { what: 'another SQL worker' });
  await eventually(hg, 'second', 'a snapshot by the new SQL worker');

  process.kill(before.broker, 'SIGKILL');
  await waitFor(() => /dev\.broker_moved/.test(hg.logText()), { what: 'another broker' });
  await eventually(hg, 'third', 'a snapshot over the new broker');
  await hg.ready();

  const all = childrenOf(hg.pid).map(({ pid }) => pid);
  assert.equal(all.length, 5);
  await hg.stop('SIGINT');
  for (const pid of all) assert.equal(stateOf(pid), '', `${pid} is gone`);
  assert.deepEqual(readdirSync(tmp), [], 'the database is removed');
});
