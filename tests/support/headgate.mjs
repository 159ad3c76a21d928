// One headgate under test: own folder, own free ports, its log captured and judged at the end.
//   const hg = await startHeadgate({ options: { workers: 3, ...topics.headgate } });
//   hg.url, hg.admin, hg.workers(), hg.logText(), await hg.stop()
// stop() fails the test when the exit code is not 0, or the log holds BUG, a sanitizer's report, or an error line that
// `expectErrors` (regular expressions) did not announce.
import { readFileSync, writeFileSync } from 'node:fs';
import assert from 'node:assert/strict';
import path from 'node:path';
import { freePort } from './ports.mjs';
import { build, childrenOf, isRunning, run, start, stop, tempDir } from './proc.mjs';
import { slowness, waitFor } from './wait.mjs';

export const binary = path.join(build, 'headgate');

/** The tests' environment without what would configure headgate, plus `more`. */
export function cleanEnv(more = {}) {
  const named = /^(HEADGATE_|WS_|KAFKA_|SQL_|TINA4_|KEYDB_|HOTCACHE_|PAGE_SEED|QUERY_CONTROL|SLOW_SOCKET|ROW_EVENT|NOTIFY_SOCKET|WATCHDOG_)/;
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !named.test(name)));
  return {
    ...env,
    ASAN_OPTIONS: 'detect_leaks=1:abort_on_error=0:exitcode=99',
    UBSAN_OPTIONS: 'print_stacktrace=1',
    ...more,
  };
}

/** Text of a configuration file. */
export const confText = (options) => Object.entries(options).map(([k, v]) => `${k} = ${v}\n`).join('');

/** Runs headgate to its end: { code, stdout, stderr }. */
export const headgate = (args, { env, cwd, ms } = {}) => run([binary, ...args], { env: cleanEnv(env), cwd: cwd ?? tempDir('cwd'), ms });

export async function startHeadgate({ options = {}, flags = [], env = {}, ip = '127.0.0.1', until = 'ready', expectErrors = [], name = 'headgate' } = {}) {
  const dir = tempDir(name);
  const port = await freePort(ip), adminPort = await freePort(ip);
  const conf = path.join(dir, 'headgate.conf'), log = path.join(dir, 'log');
  const all = {
    listen: ip, port, admin_listen: `${ip}:${adminPort}`, control_socket: path.join(dir, 'ctl'), workers: 2, drain_timeout: '2s',
    ...options,
  };
  // A loop under a sanitizer on a busy machine may take long over a turn without being hung.
  if (slowness() > 1 && !options.worker_hang_timeout) all.worker_hang_timeout = '30s';
  writeFileSync(conf, confText(all));
  const hg = {
    dir, conf, log, ip, port, options: all, expectErrors,
    url: `ws://${ip}:${port}/`,
    http: `http://${ip}:${port}`,
    admin: `http://${ip}:${adminPort}`,
    child: start([binary, '--config', conf, ...flags], { file: log, cwd: dir, env: cleanEnv(env) }),
    get pid() { return hg.child.pid; },
    isRunning: () => isRunning(hg.child),
    logText: () => readFileSync(log, 'utf8'),
    /** [{ pid, slot }] of the living workers, by their process titles. */
    workers: () => childrenOf(hg.child.pid)
      .map(({ pid, title }) => ({ pid, slot: Number(/headgate: worker (\d+)/.exec(title)?.[1] ?? NaN) }))
      .filter((w) => !Number.isNaN(w.slot)),
    status: async () => (await fetch(`${hg.admin}/status`)).json(),
    readiness: async () => {
      try {
        const r = await fetch(`${hg.admin}/readyz`);
        return { ok: r.status === 200, status: r.status, text: await r.text() };
      } catch (error) {
        return { ok: false, status: 0, text: String(error) };
      }
    },
    /** Value of one metric without labels (summed over workers), 0 when it is not printed. */
    metric: async (metric) => {
      const text = await (await fetch(`${hg.admin}/metrics`)).text();
      return Number(new RegExp(`^${metric} (\\S+)$`, 'm').exec(text)?.[1] ?? 0);
    },
    ready: (ms = 30000) => waitFor(async () => {
      assert.ok(hg.isRunning(), `headgate ended early:\n${hg.logText().slice(-2000)}`);
      return (await hg.readiness()).ok;
    }, { ms, what: () => `readiness of ${name}; its log ends:\n${hg.logText().slice(-2000)}` }),
    live: (ms = 20000) => waitFor(async () => {
      assert.ok(hg.isRunning(), `headgate ended early:\n${hg.logText().slice(-2000)}`);
      try {
        return (await fetch(`${hg.http}/health`)).status === 200;
      } catch {
        return false;
      }
    }, { ms, what: () => `${name} to answer; its log ends:\n${hg.logText().slice(-2000)}` }),
    rewrite: (more) => {
      Object.assign(all, more);
      writeFileSync(conf, confText(all));
    },
    signal: (signal) => hg.child.kill(signal),
    stop: async (signal = 'SIGTERM') => {
      const { code, signal: by } = await stop(hg.child, signal, 40000 * slowness());
      judgeLog(hg.logText(), hg.expectErrors);
      assert.equal(code, 0, `headgate ended with ${code ?? by}; its log ends:\n${hg.logText().slice(-3000)}`);
    },
  };
  try {
    if (until === 'ready') await hg.ready();
    else if (until === 'live') await hg.live();
  } catch (error) {
    hg.signal('SIGKILL'); // nobody else knows it yet
    throw error;
  }
  return hg;
}

/** Throws for a broken promise of our own, a sanitizer's report, or an error line nobody announced. */
export function judgeLog(text, expected = []) {
  for (const line of text.split('\n')) {
    const bad = /\bBUG\b|AddressSanitizer|LeakSanitizer|ThreadSanitizer|runtime error:/.test(line)
      || (/^\S+ error /.test(line) && !expected.some((re) => re.test(line)));
    if (bad) assert.fail(`in the log: ${line}\n${text.slice(text.indexOf(line), text.indexOf(line) + 3000)}`);
  }
}

/** Frees what a test file started, newest first, even after a failure: t.after(cleanup) style for top-level use. */
export function stopAfter(t, ...things) {
  t.after(async () => {
    for (const thing of things.reverse()) {
      if (thing?.child && !isRunning(thing.child)) continue;
      await thing?.stop?.();
    }
  });
}
