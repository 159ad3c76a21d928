// The two commands of the README after building: run (embedded broker) and run-real (Apache Kafka and redis-server) start,
// serve the console page with a working live query, and leave nothing running after Ctrl-C.
// Not tested here: installing packages on a fresh machine (done by hand in a clean debootstrap), the page itself (browser).
import test from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { Client } from '../support/client.mjs';
import { cleanEnv } from '../support/headgate.mjs';
import { freePort } from '../support/ports.mjs';
import { build, root, stateOf } from '../support/proc.mjs';
import { waitFor } from '../support/wait.mjs';

/** All processes of a process group. */
const groupOf = (pgid) => readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(Number).filter((pid) => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[2]) === pgid && stateOf(pid) !== 'Z';
  } catch {
    return false;
  }
});

for (const script of ['run.sh', 'run_real.sh']) {
  test(`${script} starts, serves, and Ctrl-C stops all of it`, { timeout: 120000, skip: !build.endsWith('release') && 'the scripts run build/release' }, async (t) => {
    const port = await freePort(), admin = await freePort();
    // A process group of its own, as a terminal makes one: Ctrl-C goes to all of it.
    const shell = spawn(path.join(root, 'tools/setup', script), ['--port', port, '--admin-listen', `127.0.0.1:${admin}`, '--listen', '127.0.0.1'], {
      detached: true, stdio: ['ignore', 'pipe', 'pipe'], env: cleanEnv(),
    });
    let said = '';
    shell.stdout.on('data', (d) => { said += d; });
    shell.stderr.on('data', (d) => { said += d; });
    const ended = new Promise((resolve) => shell.once('close', (code, signal) => resolve({ code, signal })));
    t.after(() => { if (groupOf(shell.pid).length) process.kill(-shell.pid, 'SIGKILL'); });
    await waitFor(() => said.includes(`:${port}/console/`) || shell.exitCode !== null, { ms: 60000, what: () => `what to open; it said ${said}` });
    const page = await fetch(`http://127.0.0.1:${port}/console/`);
    assert.equal(page.status, 200, said);
    await waitFor(async () => (await fetch(`http://127.0.0.1:${admin}/readyz`)).status === 200, { ms: 30000, what: () => `readiness; it said ${said}` });
    const c = await Client.open(`ws://127.0.0.1:${port}/`);
    c.rawBinary = () => {};
    const snapshot = await c.subscribe('tasks', 'try');
    assert.ok(snapshot.rows.length > 3);
    c.send({ op: 'rpc', method: 'UPDATE_SINGLE', table: 'tasks', correlationId: 'x', payload: { primaryId: snapshot.rows[0].id, updates: { title: 'tried out' } } });
    assert.equal((await c.message({ op: 'rpcResult' })).ok, true);
    await c.until(() => c.binary > 0, { what: 'the diff of the edit' });

    process.kill(-shell.pid, 'SIGINT');
    await ended;
    await waitFor(() => groupOf(shell.pid).length === 0, { what: () => `the end of ${groupOf(shell.pid)}; it said ${said}` });
    assert.ok(c.closed || await c.whenClosed(5000));
  });
}
