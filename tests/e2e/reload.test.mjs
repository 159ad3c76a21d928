// HUP re-reads the configuration: LIVE options apply to running workers without losing a connection, the others are named;
// a broken file changes nothing and is reported with file and line.
// Not tested here: rolling the workers for other options (a later issue).
import test from 'node:test';
import assert from 'node:assert/strict';
import { appendFileSync } from 'node:fs';
import { openClients } from '../support/client.mjs';
import { stage } from '../support/stage.mjs';
import { waitFor } from '../support/wait.mjs';

test('HUP applies live options, names the others, keeps connections; a broken file changes nothing', { timeout: 60000 }, async (t) => {
  const s = await stage(t, { options: { workers: 2, max_message: '1m' }, expectErrors: [/conf|reload/i] });
  const clients = s.keep(await openClients(12, s.hg.url));
  for (const c of clients) await c.subscribe('t', 'h');
  const pids = s.hg.workers().map((w) => w.pid);
  const big = JSON.stringify({ op: 'ping', pad: 'x'.repeat(5000) });
  clients[0].send(big);
  await clients[0].message({ op: 'pong' });

  s.hg.rewrite({ max_message: '4k', backlog: 128 });
  s.hg.signal('SIGHUP');
  await waitFor(() => /backlog/.test(s.hg.logText()), { what: 'the log to name backlog' });
  assert.match(s.hg.logText().split('\n').find((l) => /backlog/.test(l)), /restart/);
  await waitFor(async () => {
    const [c] = s.keep(await openClients(1, s.hg.url));
    c.send(big);
    return (await c.until(() => c.closed?.code ?? c.messages.some((m) => m.op === 'pong'))) === 1009;
  }, { what: 'the new limit at a new connection' });
  // Old connections are held to it as well, on every worker, and stay open until they break it.
  clients[0].send(big);
  assert.equal((await clients[0].whenClosed()).code, 1009);
  await Promise.all(clients.slice(1).map((c) => c.ping()));

  appendFileSync(s.hg.conf, 'max_mesage = 1m\n');
  const before = s.hg.logText().length;
  s.hg.signal('SIGHUP');
  const said = await waitFor(() => /max_mesage.*/.exec(s.hg.logText().slice(before)), { what: 'the complaint' });
  assert.match(s.hg.logText().slice(before), /headgate\.conf:\d+/);
  assert.match(s.hg.logText().slice(before), /max_message/, `the nearest name is given: ${said}`);
  await Promise.all(clients.slice(1).map((c) => c.ping()));

  s.hg.rewrite({ max_message: '1m', backlog: 4096 });
  s.hg.signal('SIGHUP');
  await waitFor(async () => {
    const [c] = s.keep(await openClients(1, s.hg.url));
    c.send(big);
    return (await c.until(() => c.closed?.code ?? c.messages.some((m) => m.op === 'pong'))) === true;
  }, { what: 'the limit lifted again' });
  assert.deepEqual(s.hg.workers().map((w) => w.pid), pids);
  s.db.commit('t', 'h', 'x', { n: 1 });
  await s.db.flush();
  await waitFor(() => clients.slice(1).every((c) => c.binary === 1), { what: 'the diff at every old connection' });
});
