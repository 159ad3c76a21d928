// Environment names of the former systems: each sets the option that does what it did, in the form they wrote it; .env is read.
// Not tested here: what each option does; precedence (startup).
import test from 'node:test';
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { headgate } from '../support/headgate.mjs';
import { tempDir } from '../support/proc.mjs';

// [name, value, option, what --print=effective shows, warning]
const rows = [
  ['WS_PORT', '8123', 'port', '8123'],
  ['KAFKA_BROKERS', 'a:9092,b:9093', 'kafka_brokers', 'a:9092,b:9093'],
  ['KAFKA_GROUP', 'g', 'kafka_group', 'g'],
  ['KAFKA_TOPICS', 'server.page.diffs,other:row', 'kafka_topics', 'server.page.diffs,other:row'],
  ['SQL_RPC_REQUEST_TOPIC', 'q', 'sql_rpc_request_topic', 'q'],
  ['SQL_RPC_REPLY_TOPIC', 'r', 'sql_rpc_reply_topic', 'r'],
  ['PAGE_SEED_TOPIC', 's', 'page_seed_topic', 's'],
  ['QUERY_CONTROL_TOPIC', 'c', 'query_control_topic', 'c'],
  ['SLOW_SOCKET_PAUSE_THRESHOLD', '100', 'slow_socket_pause_threshold', '100'],
  ['KEYDB_HOST', 'cache.example', 'keydb_host', 'cache.example'],
  ['KEYDB_PORT', '6380', 'keydb_port', '6380'],
  ['KEYDB_PASSWORD', 'tell nobody', 'keydb_password', '***'],
  ['KEYDB_PREFIX', ' x y:\t', 'keydb_prefix', 'xy:'],
  ['HOTCACHE_MAX_DIFFS', '10', 'hotcache_max_diffs', '10'],
  ['HOTCACHE_MAX_DIFFS', '0', 'hotcache_max_diffs', '0'],
  ['HOTCACHE_RETENTION_MS', '600000', 'hotcache_retention_ms', '600000'],
  ['HOTCACHE_RETENTION_MS', '0', 'hotcache_retention_ms', '0'],
  ['TINA4_WS_PORT', '8124', 'port', '8124'],
  ['TINA4_WS_BACKPLANE', 'redis', 'backplane', 'redis'],
  ['TINA4_WS_BACKPLANE', 'nats', 'backplane', 'nats'],
  ['TINA4_WS_BACKPLANE', 'kafka', 'backplane', '', /TINA4_WS_BACKPLANE.*local only/],
  ['TINA4_WS_BACKPLANE_URL', 'redis://r:6379', 'backplane_url', 'redis://r:6379'],
  ['TINA4_WS_ALLOWED_ORIGINS', 'https://a,https://b', 'allowed_origins', 'https://a,https://b'],
  ['TINA4_WS_MAX_BACKLOG', '65536', 'out_hard', '64k'],
  ['TINA4_WS_MAX_BACKLOG', '0', 'out_hard', '1g', /TINA4_WS_MAX_BACKLOG/],
  ['TINA4_WS_MAX_BACKLOG', '-1', 'out_hard', '1g', /TINA4_WS_MAX_BACKLOG/],
  ['TINA4_WS_IDLE_TIMEOUT', '90.5', 'idle_timeout', '90500ms'],
  ['TINA4_WS_IDLE_TIMEOUT', '0', 'idle_timeout', '0'],
  ['TINA4_WS_IDLE_TIMEOUT', 'never', 'idle_timeout', '0', /TINA4_WS_IDLE_TIMEOUT/],
];

const shown = (text, option) => new RegExp(`^${option}\\s*=\\s*("?)(.*?)\\1\\s*(#.*)?$`, 'm').exec(text)?.[2];

test('each name of the former systems sets its option', { timeout: 60000 }, async () => {
  const cwd = tempDir('env');
  for (const [name, value, option, wanted, warning] of rows) {
    const r = await headgate(['--print=effective'], { cwd, env: { [name]: value } });
    const what = `${name}=${value}`;
    assert.equal(r.code, 0, `${what}: ${r.stderr}`);
    assert.equal(shown(r.stdout, option), wanted, what);
    assert.match(r.stdout, new RegExp(`^${option}\\s.*# environment ${name}`, 'm'), what);
    if (warning) assert.match(r.stderr, warning, what);
    assert.ok(!(r.stdout + r.stderr).includes('tell nobody'), 'secrets stay secret');
  }
});

test('a name of the former systems with nonsense in it is named and ends the start, where they went on with NaN', { timeout: 60000 }, async () => {
  const cwd = tempDir('env');
  for (const name of ['WS_PORT', 'KEYDB_PORT', 'HOTCACHE_MAX_DIFFS', 'HOTCACHE_RETENTION_MS', 'SLOW_SOCKET_PAUSE_THRESHOLD']) {
    const r = await headgate(['--check'], { cwd, env: { [name]: 'soon' } });
    assert.equal(r.code, 2, name);
    assert.match(r.stderr, new RegExp(`${name}.*soon`));
  }
});

test('the defaults are theirs', { timeout: 60000 }, async () => {
  const { stdout } = await headgate(['--print=effective'], { cwd: tempDir('env') });
  assert.deepEqual(
    Object.fromEntries(['kafka_brokers', 'kafka_group', 'kafka_topics', 'sql_rpc_request_topic', 'page_seed_topic', 'query_control_topic', 'keydb_host', 'keydb_port',
      'keydb_prefix', 'hotcache_max_diffs', 'hotcache_retention_ms', 'backplane', 'allowed_origins'].map((name) => [name, shown(stdout, name)])),
    {
      kafka_brokers: 'localhost:9092', kafka_group: 'cladbe-ws-gateway', kafka_topics: 'server.page.diffs,server.row.events', sql_rpc_request_topic: 'sql.rpc.requests',
      page_seed_topic: 'server.page.seed', query_control_topic: 'server.query.control', keydb_host: 'localhost', keydb_port: '6379', keydb_prefix: 'hcache:',
      hotcache_max_diffs: '5000', hotcache_retention_ms: '600000', backplane: '', allowed_origins: '',
    },
  );
  for (const profile of ['v1', 'v2']) {
    const old = await headgate(['--print=effective'], { cwd: tempDir('env'), env: { HEADGATE_PROFILE: profile } });
    assert.equal(shown(old.stdout, 'kafka_topics'), 'server.cdc.filtered', profile);
  }
});

test('a .env in the working directory is read', { timeout: 60000 }, async () => {
  const cwd = tempDir('env');
  writeFileSync(path.join(cwd, '.env'), 'WS_PORT=8125\nKAFKA_GROUP="from .env"\n');
  const { stdout } = await headgate(['--print=effective'], { cwd });
  assert.deepEqual([shown(stdout, 'port'), shown(stdout, 'kafka_group')], ['8125', 'from .env']);
});
