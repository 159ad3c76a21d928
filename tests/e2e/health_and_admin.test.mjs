// What a probe, a balancer, Prometheus and a person ask: /health as the sources have it, the banner elsewhere, the statuses
// that HTTP wants for wrong requests, /livez, /readyz, /metrics, /status on the admin port, headgate ctl status.
// Not tested here: readiness without Kafka or Redis (kafka_restart, redis_restart).
import test from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { Client } from '../support/client.mjs';
import { headgate } from '../support/headgate.mjs';
import { exchange, upgrade } from '../support/http.mjs';
import { stage } from '../support/stage.mjs';
import { waitFor } from '../support/wait.mjs';

const get = (path, more = '') => `GET ${path} HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n${more}\r\n`;

test('/health, the banner, and the statuses of HTTP', { timeout: 60000 }, async (t) => {
  const s = await stage(t, { sql: false, options: { workers: 2 } });
  s.keep(await Client.open(s.hg.url));

  const health = await exchange(s.hg.url, get('/health'));
  assert.equal(health.status, 200);
  assert.match(health.headers['content-type'], /^application\/json/);
  const body = JSON.parse(health.body);
  assert.deepEqual(Object.keys(body).slice(0, 5), ['status', 'connections', 'sessions', 'uptime', 'slowSockets']);
  assert.equal(body.status, 'healthy');
  assert.equal(body.connections, 1);
  assert.equal(typeof body.uptime, 'number');

  for (const [what, request, status] of [
    ['any path', get('/any/path'), 200],
    ['any method', 'PUT /x HTTP/1.1\r\nHost: g\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi', 200],
    ['no console here', get('/console/'), 404],
    ['any other method at /health', 'POST /health HTTP/1.1\r\nHost: g\r\nContent-Length: 0\r\nConnection: close\r\n\r\n', 200],
    ['POST to the console', 'POST /console/ HTTP/1.1\r\nHost: g\r\nContent-Length: 0\r\nConnection: close\r\n\r\n', 405],
    ['version 8', upgrade({ headers: { 'Sec-WebSocket-Version': '8' } }), 426],
    ['no key', upgrade({ headers: { 'Sec-WebSocket-Key': undefined } }), 400],
    ['a key of 15 bytes', upgrade({ headers: { 'Sec-WebSocket-Key': Buffer.alloc(15).toString('base64') } }), 400],
    ['no host', 'GET / HTTP/1.1\r\n\r\n', 400],
    ['two hosts', upgrade({ headers: { Host: ['a', 'b'] } }), 400],
    ['no HTTP', 'hello\r\n\r\n', 400],
    ['HTTP/2.7', 'GET / HTTP/2.7\r\nHost: g\r\n\r\n', 505],
    ['a header of 64 KB', get('/', `X-Long: ${'a'.repeat(65536)}\r\n`), 431],
    ['200 headers', get('/', Array.from({ length: 200 }, (_, i) => `X-${i}: 1\r\n`).join('')), 431],
    ['a body of 1 GB', 'POST / HTTP/1.1\r\nHost: g\r\nContent-Length: 1000000000\r\n\r\n', 413],
    ['two lengths', 'POST / HTTP/1.1\r\nHost: g\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n', 400],
    ['length and chunks', 'POST / HTTP/1.1\r\nHost: g\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', 400],
    ['NUL in a header', get('/', 'X-A: a\0b\r\n'), 400],
  ]) {
    const a = await exchange(s.hg.url, request);
    assert.equal(a.status, status, what);
    if (status === 426) assert.equal(a.headers['sec-websocket-version'], '13');
    if (status === 405) assert.ok(a.headers.allow, '405 says what is allowed');
    if (what.startsWith('any')) assert.equal(a.body, 'cladbe-ws-gateway', what);
  }
  const head = await exchange(s.hg.url, 'HEAD /health HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n', { head: true });
  assert.equal(head.status, 200);
  assert.equal(head.body, '');
  assert.ok(Number(head.headers['content-length']) > 0);
});

test('origins: an exact list; without one everyone may', { timeout: 60000 }, async (t) => {
  const s = await stage(t, { sql: false, options: { workers: 1, allowed_origins: 'https://app.example, https://b.example' } });
  for (const [origin, status] of [['https://app.example', 101], ['https://b.example', 101], ['https://APP.example', 403], ['https://c.example', 403], [undefined, 403]]) {
    assert.equal((await exchange(s.hg.url, upgrade({ headers: { Origin: origin } }))).status, status, String(origin));
  }
  const twice = upgrade({ headers: { Origin: ['https://app.example', 'https://c.example'] } });
  assert.equal((await exchange(s.hg.url, twice)).status, 403, 'of two origins none is the one');
});

test('/livez, /readyz, /metrics and /status on the admin port; ctl status', { timeout: 60000 }, async (t) => {
  const s = await stage(t, { options: { workers: 2 } });
  const clients = s.keep([await Client.open(s.hg.url), await Client.open(s.hg.url)]);
  for (const c of clients) await c.subscribe('t', 'h');
  s.db.commit('t', 'h', 'x', { n: 1 });
  await s.db.flush();
  await waitFor(() => clients.every((c) => c.binary === 1), { what: 'the diff' });
  const ask = async (path, init) => {
    const r = await fetch(s.hg.admin + path, init);
    return { status: r.status, type: r.headers.get('content-type'), text: await r.text() };
  };
  assert.equal((await ask('/livez')).status, 200);
  assert.equal((await ask('/readyz')).status, 200);
  assert.equal((await ask('/nothing')).status, 404);
  assert.equal((await ask('/metrics', { method: 'POST' })).status, 405);

  const metrics = await waitFor(async () => {
    const m = await ask('/metrics');
    return /^headgate_diffs_delivered_total 2$/m.test(m.text) && m;
  }, { what: 'the metrics to show both deliveries' });
  assert.match(metrics.type, /^text\/plain/);
  const seen = new Set(), typed = new Map();
  for (const line of metrics.text.trim().split('\n')) {
    const type = /^# TYPE (\S+) (\S+)$/.exec(line);
    if (type) {
      assert.ok(!typed.has(type[1]), `${type[1]} is described once`);
      typed.set(type[1], type[2]);
    }
    if (line.startsWith('#')) continue;
    const sample = /^([a-z_:][a-z0-9_:]*)(\{[^}]*\})? (-?[0-9.e+-]+|\+Inf|NaN)$/.exec(line);
    assert.ok(sample, `a line of the exposition format: ${line}`);
    assert.ok(!seen.has(sample[1] + (sample[2] ?? '')), `${line} comes once`);
    seen.add(sample[1] + (sample[2] ?? ''));
    assert.ok([...typed.keys()].some((name) => sample[1] === name || sample[1].replace(/_(bucket|sum|count)$/, '') === name), `${sample[1]} has a TYPE`);
  }
  for (const [line, why] of [
    [/^headgate_connections 2$/m, 'summed over workers'],
    [/^headgate_subscriptions 2$/m, 'subscriptions'],
    [/^headgate_build_info\{.*version="/m, 'version'],
  ]) assert.match(metrics.text, line, why);

  const status = await s.hg.status();
  assert.ok(JSON.stringify(status).includes('"workers"'), 'status speaks of workers');
  const ctl = await headgate(['ctl', 'status', '--config', s.hg.conf]);
  assert.equal(ctl.code, 0, ctl.stderr);
  for (const word of [/worker/i, /connections|conns/i, /subscriptions|subs/i, /partitions|parts/i, /lag/i, /backplane/i]) assert.match(ctl.stdout, word);
  for (const { pid } of s.hg.workers()) assert.ok(ctl.stdout.includes(String(pid)), `pid ${pid} in\n${ctl.stdout}`);
});

test('process titles, pidfile', { timeout: 60000 }, async (t) => {
  const s = await stage(t, { sql: false, options: { workers: 2, pidfile: 'headgate.pid' } });
  assert.equal(Number(readFileSync(`${s.hg.dir}/headgate.pid`, 'utf8')), s.hg.pid);
  assert.match(readFileSync(`/proc/${s.hg.pid}/cmdline`, 'latin1'), /^headgate: master/);
  assert.deepEqual(s.hg.workers().map((w) => w.slot).sort(), [0, 1]);
  for (let i = 0; i < 10; i++) s.keep(await Client.open(s.hg.url));
  const count = () => s.hg.workers().reduce((n, { pid }) => n + Number(/\((\d+) conns?\)/.exec(readFileSync(`/proc/${pid}/cmdline`, 'latin1'))?.[1] ?? 0), 0);
  await waitFor(() => count() === 10, { what: () => `titles that count 10 connections, not ${count()}` });
});
