// Child processes of the tests: each has its own folder, its output is kept, and none outlives the test file.
import { spawn } from 'node:child_process';
import { createWriteStream, mkdtempSync, openSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { waitFor } from './wait.mjs';

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
export const build = process.env.HEADGATE_BUILD ?? path.join(root, 'build/release');

const dirs = new Set(), children = new Set();
process.on('exit', () => {
  for (const child of children) if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
  if (!process.env.HEADGATE_KEEP) for (const dir of dirs) rmSync(dir, { recursive: true, force: true });
});
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));

/** A new folder, removed at the end of the process (HEADGATE_KEEP=1 keeps it). */
export function tempDir(name) {
  const dir = mkdtempSync(path.join(os.tmpdir(), `headgate-${name}-`));
  dirs.add(dir);
  return dir;
}

/** Starts argv with its output appended to file. */
export function start(argv, { file, cwd, env } = {}) {
  const out = createWriteStream(file, { fd: openSync(file, 'a') }); // opened now: whoever waits for the program reads it at once
  const child = spawn(argv[0], argv.slice(1), { cwd, env: env ?? process.env, stdio: ['ignore', 'pipe', 'pipe'] });
  child.stdout.pipe(out, { end: false });
  child.stderr.pipe(out, { end: false });
  child.file = file;
  // 'close' comes after the pipes have been read, so the file is whole by then.
  child.done = new Promise((resolve) => {
    child.once('close', (code, signal) => out.end(() => resolve({ code, signal })));
    child.once('error', (error) => out.end(() => resolve({ code: null, signal: null, error })));
  });
  children.add(child);
  return child;
}

/** Lets this process end while the child runs; it is killed then. */
export function inBackground(child) {
  for (const handle of [child, child.stdout, child.stderr]) handle.unref();
}

export const isRunning = (child) => child.exitCode === null && child.signalCode === null;

/** Sends a signal and waits for the end; past the deadline kills, and throws. */
export async function stop(child, signal = 'SIGTERM', ms = 30000) {
  if (isRunning(child)) child.kill(signal);
  try {
    await waitFor(() => !isRunning(child), { ms, what: `end of pid ${child.pid} after ${signal}` });
  } catch (error) {
    child.kill('SIGKILL');
    await child.done;
    throw error;
  }
  return child.done;
}

/** Runs argv to its end. */
export async function run(argv, { cwd, env, ms = 60000, input } = {}) {
  const child = spawn(argv[0], argv.slice(1), { cwd, env: env ?? process.env, stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'] });
  let stdout = '', stderr = '';
  child.stdout.on('data', (d) => { stdout += d; });
  child.stderr.on('data', (d) => { stderr += d; });
  if (input !== undefined) child.stdin.end(input);
  const timer = setTimeout(() => child.kill('SIGKILL'), ms);
  const { code, signal } = await new Promise((resolve, reject) => {
    child.once('close', (c, s) => resolve({ code: c, signal: s }));
    child.once('error', reject);
  });
  clearTimeout(timer);
  return { code, signal, stdout, stderr };
}

// --- what /proc knows ---

const proc = (pid, name) => {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'latin1');
  } catch {
    return '';
  }
};

/** Children of pid, as [{ pid, title }]. */
export function childrenOf(pid) {
  return proc(pid, `task/${pid}/children`).trim().split(' ').filter(Boolean).map(Number)
    .map((child) => ({ pid: child, title: proc(child, 'cmdline').replaceAll('\0', ' ').trim() }));
}

/** The state letter of a process (R, S, T, Z), '' when it is gone. */
export const stateOf = (pid) => /^State:\s+(\S)/m.exec(proc(pid, 'status'))?.[1] ?? '';

/** Private resident memory in bytes: without the rings, which are shared and made whole before fork. */
export const memoryOf = (pid) => 1024 * Number(/^RssAnon:\s+(\d+)/m.exec(proc(pid, 'status'))?.[1] ?? 0);

/** Which of the processes holds the server's end of the connection whose client side is localPort. */
export function ownerOfConnection(pids, localPort) {
  const inodes = new Set();
  for (const line of readFileSync('/proc/net/tcp', 'latin1').split('\n').slice(1)) {
    const f = line.trim().split(/\s+/);
    if (f.length > 9 && f[3] === '01' && parseInt(f[2].split(':')[1], 16) === localPort) inodes.add(`socket:[${f[9]}]`);
  }
  for (const pid of pids) {
    let fds = [];
    try {
      fds = readdirSync(`/proc/${pid}/fd`);
    } catch { /* it is gone */ }
    for (const fd of fds) {
      try {
        if (inodes.has(readlinkSync(`/proc/${pid}/fd/${fd}`))) return pid;
      } catch { /* closed meanwhile */ }
    }
  }
  return undefined;
}
