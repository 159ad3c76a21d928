// Starting: precedence flags > environment > .env > file > default, with the sources' names; errors that name place, value,
// range and the nearest name; --check, --print, --version, --help; twice on a port is refused in words; as root, the named
// user is taken after binding.
// Not tested here: what each option does.
import test from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import net from 'node:net';
import path from 'node:path';
import { binary, cleanEnv, confText, headgate, startHeadgate } from '../support/headgate.mjs';
import { freePort } from '../support/ports.mjs';
import { start, stop, tempDir } from '../support/proc.mjs';
import { waitFor } from '../support/wait.mjs';

/** Value and whole line of an option in --print=effective. */
async function effective(args, options) {
  const r = await headgate([...args, '--print=effective'], options);
  assert.equal(r.code, 0, r.stderr);
  return (name) => new RegExp(`^${name}\\s*=\\s*("?)([^"#\\n]*?)\\1\\s*(#.*)?$`, 'm').exec(r.stdout)?.[2].trim();
}

test('--version, --help, --print, --check', { timeout: 60000 }, async () => {
  const version = await headgate(['--version']);
  assert.equal(version.code, 0);
  assert.match(version.stdout, /headgate \d+\.\d+\.\d+/);
  const help = await headgate(['--help']);
  assert.equal(help.code, 0);
  assert.match(help.stdout, /--config/);
  for (const what of ['effective', 'example', 'docs', 'metrics', 'codes', 'ops', 'ops-json']) {
    const r = await headgate([`--print=${what}`]);
    assert.equal(r.code, 0, what);
    assert.ok(r.stdout.length > 500, what);
  }
  for (const words of [['--help'], ['--room', 'r', '-h']]) {
    const publish = await headgate(['ctl', 'publish', ...words]);
    assert.deepEqual([publish.code, publish.stderr], [0, '']);
    assert.match(publish.stdout, /^usage: headgate ctl publish /);
    for (const flag of ['room', 'channel', 'path', 'id', 'all', 'tenant', 'exclude', 'file', 'b64', 'binary', 'json']) assert.match(publish.stdout, new RegExp(`--${flag}\\b`));
  }
  const dir = tempDir('example');
  writeFileSync(path.join(dir, 'c'), (await headgate(['--print=example'])).stdout);
  const check = await headgate(['--check', '--config', path.join(dir, 'c')]);
  assert.equal(check.code, 0, check.stderr);
  assert.notEqual((await headgate(['--print=nothing'])).code, 0);
});

test('flags beat the environment, that .env, that the file; HEADGATE_X beats the sources\' names', { timeout: 60000 }, async () => {
  const cwd = tempDir('precedence'), conf = path.join(cwd, 'c');
  writeFileSync(conf, confText({ port: 6001, workers: 3, ping_interval: '11s', idle_timeout: '71s' }));
  writeFileSync(path.join(cwd, '.env'), 'WS_PORT=6002\nHEADGATE_PING_INTERVAL=12s\nKAFKA_BROKERS="a:1,b:2"\n# comment\nexport KAFKA_GROUP=\'g\'\n');
  const at = async (args, env) => effective(['--config', conf, ...args], { cwd, env });

  let v = await at([], {});
  assert.deepEqual([v('port'), v('workers'), v('kafka_brokers'), v('kafka_group')], ['6002', '3', 'a:1,b:2', 'g'], '.env beats the file');
  assert.equal(v('backlog'), '4096', 'a default');
  v = await at([], { WS_PORT: '6003', KAFKA_TOPICS: 'x:diff' });
  assert.deepEqual([v('port'), v('kafka_topics')], ['6003', 'x:diff'], 'the environment beats .env');
  v = await at([], { HEADGATE_PORT: '6004', WS_PORT: '6003', TINA4_WS_PORT: '6009' });
  assert.equal(v('port'), '6004');
  v = await at([], { TINA4_WS_PORT: '6009', WS_PORT: '6003' });
  assert.equal(v('port'), '6003', 'the first of the sources\' names');
  v = await at(['--port=6005'], { HEADGATE_PORT: '6004' });
  assert.equal(v('port'), '6005');
  v = await at(['--port', '6006', '--dev'], {});
  assert.deepEqual([v('port'), v('dev')], ['6006', 'yes']);
  writeFileSync(path.join(cwd, '.env'), 'HEADGATE_PORT=6010\n');
  v = await at([], { WS_PORT: '6003' });
  assert.equal(v('port'), '6010', 'HEADGATE_X of .env beats a source\'s name of the environment');
});

test('mistakes are named with their place, their range and the nearest name', { timeout: 60000 }, async () => {
  const dir = tempDir('mistakes'), conf = path.join(dir, 'bad.conf');
  const check = async (text, args = [], env = {}) => {
    writeFileSync(conf, text);
    const r = await headgate(['--check', '--config', conf, ...args], { env });
    return { code: r.code, text: r.stderr + r.stdout };
  };
  let r = await check('port = 7000\n\nidle_timout = 5s\n');
  assert.notEqual(r.code, 0);
  assert.match(r.text, /bad\.conf:3/);
  assert.match(r.text, /idle_timeout/);
  r = await check('workers = 99\n');
  assert.notEqual(r.code, 0);
  assert.match(r.text, /bad\.conf:1/);
  assert.match(r.text, /99/);
  assert.match(r.text, /62/);
  r = await check('', ['--ping-interval=soon']);
  assert.notEqual(r.code, 0);
  assert.match(r.text, /soon/);
  assert.match(r.text, /--ping-interval|command line|flag/);
  r = await check('', [], { HEADGATE_LOG_LEVEL: 'loud' });
  assert.notEqual(r.code, 0);
  assert.match(r.text, /HEADGATE_LOG_LEVEL/);
  assert.match(r.text, /error.*warn.*info.*debug/);
  r = await check('', [], { HEADGATE_PROT: '1' });
  assert.equal(r.code, 0, 'an unknown HEADGATE_ name is a warning');
  assert.match(r.text, /HEADGATE_PROT/);
  r = await check('', ['--no-such-flag']);
  assert.notEqual(r.code, 0);
  r = await check('kafka_topics = a:sideways\n');
  assert.notEqual(r.code, 0);
  assert.match(r.text, /a:sideways|sideways/);
  assert.notEqual((await headgate(['--check', '--config', path.join(dir, 'absent')])).code, 0);
});

test('secrets are never printed; _FILE twins read them', { timeout: 30000 }, async () => {
  const dir = tempDir('secret');
  writeFileSync(path.join(dir, 's'), 'tellnobody\n');
  const r = await headgate(['--print=effective'], { cwd: dir, env: { HEADGATE_KEYDB_PASSWORD_FILE: path.join(dir, 's') } });
  assert.equal(r.code, 0, r.stderr);
  assert.ok(!(r.stdout + r.stderr).includes('tellnobody'));
  assert.match(r.stdout, /keydb_password.*\*\*\*/);
});

test('two on one port: the second says so and ends, the first serves on', { timeout: 60000 }, async (t) => {
  const hg = await startHeadgate({ until: 'live', options: { kafka_brokers: '127.0.0.1:1' }, expectErrors: [/kafka/i] });
  t.after(() => hg.stop());
  const second = await headgate(['--listen', hg.ip, '--port', String(hg.port), '--admin-listen', '', '--kafka-brokers', '127.0.0.1:1',
    '--control-socket', path.join(tempDir('second'), 'ctl')], { ms: 10000 });
  assert.ok(second.code > 0, `exit code ${second.code}`);
  assert.match(second.stderr, new RegExp(String(hg.port)));
  assert.match(second.stderr, /in use/i);
  assert.equal((await fetch(`${hg.http}/health`)).status, 200);
});

test('a port another program holds is said, too', { timeout: 30000 }, async (t) => {
  const server = net.createServer().listen(0, '127.0.0.1');
  t.after(() => server.close());
  await once(server, 'listening');
  const { port } = server.address();
  const r = await headgate(['--listen', '127.0.0.1', '--port', String(port), '--admin-listen', '', '--control-socket', path.join(tempDir('x'), 'ctl')], { ms: 10000 });
  assert.ok(r.code > 0);
  assert.match(r.stderr, /in use/i);
});

test('a second gateway on one machine needs no more than a WS_PORT of its own; admin_listen that was asked for must be had', { timeout: 60000 }, async (t) => {
  const other = net.createServer().listen(7001, '127.0.0.1'); // the default; or somebody else has it, which is as good
  t.after(() => other.close());
  await Promise.race([once(other, 'listening'), once(other, 'error')]).catch((error) => assert.equal(error.code, 'EADDRINUSE'));
  const dir = tempDir('second'), log = path.join(dir, 'log'), port = await freePort('127.0.0.1');
  const child = start([binary], { file: log, cwd: dir, env: cleanEnv({ WS_PORT: String(port), KAFKA_BROKERS: '127.0.0.1:1' }) });
  t.after(() => stop(child));
  await waitFor(async () => (await fetch(`http://127.0.0.1:${port}/health`).catch(() => ({}))).status === 200, { what: () => `its /health; its log: ${readFileSync(log, 'utf8')}` });
  assert.match(readFileSync(log, 'utf8'), /admin\.off where=127\.0\.0\.1:7001/);
  const asked = await headgate(['--port', String(await freePort('127.0.0.1')), '--admin-listen', '127.0.0.1:7001', '--kafka-brokers', '127.0.0.1:1'], { ms: 10000 });
  assert.ok(asked.code > 0);
  assert.match(asked.stderr, /admin_listen 127\.0\.0\.1:7001 is in use/);
});

test('after binding it runs as the named user', { timeout: 60000, skip: process.getuid() !== 0 && 'needs root' }, async (t) => {
  const hg = await startHeadgate({ until: 'live', options: { user: 'nobody', kafka_brokers: '127.0.0.1:1', control_socket: path.join('/tmp', `headgate-test-${process.pid}.sock`) }, expectErrors: [/kafka/i] });
  t.after(() => hg.stop());
  const uid = (pid) => /^Uid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))[1];
  for (const pid of [hg.pid, ...hg.workers().map((w) => w.pid)]) assert.notEqual(uid(pid), '0');
});
