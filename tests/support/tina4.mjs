// A real tina4 application (tests/support/tina4_app.py) with a backplane of the tests'.
import { spawn } from 'node:child_process';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { freePort } from './ports.mjs';
import { root, run, tempDir } from './proc.mjs';
import { within } from './wait.mjs';

/** { url, instance, say(command), stop() } */
export async function startTina4(carrier, backplaneUrl) {
  const setup = await run([path.join(root, 'tools/setup/tina4.sh')], { ms: 300000 });
  if (setup.code !== 0) throw new Error(`tools/setup/tina4.sh: ${setup.stderr}${setup.stdout}`);
  const port = await freePort();
  const child = spawn(path.join(root, 'build/cache/tina4/bin/python'), [path.join(root, 'tests/support/tina4_app.py'), String(port)], {
    cwd: tempDir('tina4'), env: { PATH: process.env.PATH, TINA4_WS_BACKPLANE: carrier, TINA4_WS_BACKPLANE_URL: backplaneUrl, TINA4_LOG_LEVEL: 'ERROR' },
  });
  let errors = '';
  const answers = [], waiting = [];
  child.stderr.on('data', (d) => { errors += d; });
  createInterface({ input: child.stdout }).on('line', (line) => {
    if (!line.startsWith('{')) return; // its log
    if (waiting.length) waiting.shift()(line);
    else answers.push(line);
  });
  const next = () => within(Promise.race([
    new Promise((resolve) => { if (answers.length) resolve(answers.shift()); else waiting.push(resolve); }),
    new Promise((_, reject) => child.once('exit', (code) => reject(new Error(`tina4 ended with ${code}: ${errors}`)))),
  ]), 20000, 'an answer of tina4').then(JSON.parse);
  const { instance } = await next();
  return {
    instance,
    url: `ws://127.0.0.1:${port}`,
    async say(command) {
      child.stdin.write(`${JSON.stringify(command)}\n`);
      await next();
    },
    async stop() {
      if (child.exitCode !== null) return;
      const ended = new Promise((r) => child.once('exit', r));
      child.kill('SIGKILL'); // it holds nothing that must be saved
      await ended;
    },
  };
}
