// The examples of docs/auth.md work as they stand there: key, configuration, and both issuers' tokens.
// Not tested here: what the page says about refusals (jwt.test.mjs).
import test from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { Client } from '../support/client.mjs';
import { root, run, tempDir } from '../support/proc.mjs';
import { stage } from '../support/stage.mjs';
import { asHeader, asProtocol } from '../support/tokens.mjs';

const page = readFileSync(path.join(root, 'docs/auth.md'), 'utf8');
const blocks = (language) => [...page.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, 'gms'))].map((m) => m[1]);

test('docs/auth.md: its key, configuration and tokens open a connection', { timeout: 60000 }, async (t) => {
  const cwd = tempDir('auth');
  symlinkSync(path.join(root, 'tests/node_modules'), path.join(cwd, 'node_modules'));
  const [conf] = blocks('conf'), [js] = blocks('js');
  const shell = await run(['sh', '-euc', blocks('sh').join('\n')], { cwd });
  const node = await run(['node', '--input-type=module', '-e', js], { cwd });
  for (const r of [shell, node]) assert.equal(r.code, 0, r.stderr);
  const options = Object.fromEntries(conf.trim().split('\n').map((line) => line.split(' = ')));
  options.jwt_keys = options.jwt_keys.replace('/etc/headgate/', `${cwd}/`);
  const s = await stage(t, { options: { workers: 1, ...options } });
  for (const token of [shell.stdout, node.stdout].map((text) => text.trim().split('\n').at(-1))) {
    for (const how of [asHeader, asProtocol]) {
      const c = s.keep(await Client.open(s.hg.url, how(token)));
      c.send({ type: 'broadcast', data: 1 });
      assert.equal((await c.message({ type: 'broadcast_message' })).data.from, 'alice');
      await c.subscribe('t', 'h');
      assert.equal(s.db.calls.at(-1).companyId, 'acme');
      c.send({ op: 'join', room: 'r' });
      await c.message({ op: 'joined' });
      await c.close();
    }
    await assert.rejects(Client.open(`${s.hg.url}?token=${token}`), /401/, 'not in the query');
  }
});
