// The hot cache (spec 10) as the programs of the former systems meet it: ioredis reads and writes its keys.
// - every diff once in its list, in order, with the sources' JSON, whoever of two hosts and several workers writes (B-14)
// - a worker and a host that write killed, one stopped past its lease, one stopped with grace, Redis restarted and flushed: no repeat, nothing stale
// - snapshots for those who read them, when asked for; none otherwise
// - rangeIndex behind the snapshot, in its profiles; a replica that lags is bridged by cached diffs (B-6)
// - without a Redis everything works, and the metrics say so
// Not tested here: what a list proves in each case of doubt (worker/cache_test), order of frames (worker/stream_test).
import test from 'node:test';
import assert from 'node:assert/strict';
import { Client } from '../support/client.mjs';
import { faultsOf } from '../support/database.mjs';
import { freePort } from '../support/ports.mjs';
import { startRedis } from '../support/redis.mjs';
import { producing, stage, streams } from '../support/stage.mjs';
import { load, waitFor } from '../support/wait.mjs';

/** A Redis of the test's own, its client, and a stage whose hosts use it as their hot cache. */
async function cached(t, { options = {}, hosts = 1, ...more } = {}) {
  const redis = await startRedis();
  const r = redis.client();
  t.after(async () => {
    r.disconnect();
    await redis.stop();
  });
  const s = await stage(t, {
    hosts,
    ...more,
    options: (topics) => ({ workers: 2, keydb_host: '127.0.0.1', keydb_port: redis.port, hotcache_lease: '1s', ...(typeof options === 'function' ? options(topics) : options) }),
  });
  await Promise.all(s.hosts.map((hg) => waitFor(() => hg.metric('headgate_cache_up'), { what: 'the cache' })));
  return { ...s, redis, r };
}

/** A list as an existing reader has it: { lsn, data } per entry; every entry is what the former gateway wrote. */
async function read(r, stream, prefix = 'hcache:') {
  return (await r.lrange(`${prefix}diff:${stream}`, 0, -1)).map((text) => {
    const e = JSON.parse(text);
    assert.deepEqual(Object.keys(e), ['lsn', 'b64']);
    assert.equal(text, JSON.stringify(e));
    return { lsn: BigInt(e.lsn), data: JSON.parse(Buffer.from(e.b64, 'base64').toString()) };
  });
}

const key = ({ table, hashId }) => `demo_${table}|${hashId}`;

/** What is wrong with a list, compared with the true history from `from` on. */
function faults(db, stream, list, { gapsAllowed = false } = {}) {
  const got = list.map((e) => e.lsn), due = db.byStream.get(stream) ?? [], out = [];
  for (const e of list) if (String(e.lsn) !== e.data.lsn || e.data.stream !== stream) out.push(`a diff of ${e.data.stream} ${e.data.lsn} under ${stream} ${e.lsn}`);
  for (let i = 1; i < got.length; i++) {
    if (got[i] === got[i - 1]) out.push(`repeat of ${got[i]}`);
    else if (got[i] < got[i - 1]) out.push(`${got[i]} after ${got[i - 1]}`);
  }
  const have = new Set(got), missing = due.filter((lsn) => !have.has(lsn));
  if (!gapsAllowed && missing.length) out.push(`${missing.length} of ${due.length} missing, the first ${missing[0]}`);
  return out;
}

/** Waits until the last diff of each stream is in its list, then judges them all. */
async function judge(s, list, more = {}) {
  for (const q of list) {
    const last = s.db.byStream.get(key(q)).at(-1);
    await waitFor(async () => (await read(s.r, key(q))).at(-1)?.lsn === last, { ms: 30000, what: `the end of ${key(q)}` });
  }
  for (const q of list) assert.deepEqual(faults(s.db, key(q), await read(s.r, key(q)), more), []);
}

const total = async (s, metric) => {
  let n = 0;
  for (const hg of s.hosts) if (hg.isRunning()) n += await hg.metric(metric);
  return n;
};
/** All partitions have a writer, so that nothing falls into a gap at the start. */
const written = (s, partitions = 4) => waitFor(async () => (await total(s, 'headgate_cache_leases')) === partitions, { what: 'a writer for each partition' });

test('B-14: two hosts and five workers write every diff once, in order, with TTL and cap', { timeout: 120000 }, async (t) => {
  const s = await cached(t, { hosts: 2, options: { workers: 3, keydb_prefix: ' my cache: ', hotcache_retention_ms: 120000, hotcache_max_diffs: 50 } });
  await written(s);
  const list = streams(20, 3);
  for (let i = 0; i < load(2000, 400); i++) s.db.commit(list[i % 20].table, list[i % 20].hashId, 'x', { i });
  await s.db.flush();
  const due = s.db.byStream;
  for (const q of list) {
    const want = due.get(key(q));
    const got = await waitFor(async () => {
      const l = await read(s.r, key(q), 'mycache:');
      return l.at(-1)?.lsn === want.at(-1) && l;
    }, { what: `the end of ${key(q)}` });
    assert.deepEqual(got.map((e) => e.lsn), want.slice(-50));
    const ttl = await s.r.pttl(`mycache:diff:${key(q)}`);
    assert.ok(ttl > 0 && ttl <= 120000, `TTL ${ttl}`);
  }
  await waitFor(async () => (await total(s, 'headgate_cache_written_total')) === load(2000, 400), { what: 'as many written as there are' });
  assert.equal(await total(s, 'headgate_cache_dropped_total'), 0);
  assert.equal(await total(s, 'headgate_cache_errors_total'), 0);
  assert.deepEqual((await s.r.keys('mycache:*')).filter((k) => !/^mycache:(diff:|lease:|pos:)/.test(k)), []);
});

test('B-14: a killed worker, a host stopped past its lease, a killed host: no gap, no repeat, nothing stale', { timeout: 120000 }, async (t) => {
  const s = await cached(t, { hosts: 2, expectErrors: [/worker\.died/] });
  await written(s);
  const list = streams(12, 3);
  const p = producing(s.db, list, { perTurn: 20, pauseMs: 10 });
  await waitFor(async () => (await total(s, 'headgate_cache_written_total')) > 500, { what: '500 written' });

  const leases = () => Promise.all(s.hosts.map((hg) => hg.metric('headgate_cache_leases')));
  const writer = s.hosts[(await leases())[0] > 0 ? 0 : 1];
  process.kill(writer.workers()[0].pid, 'SIGKILL');
  await written(s);

  // A whole host stands still for longer than its lease; the other takes over; then it wakes with what it had ready.
  const sleeper = s.hosts[(await leases())[0] > 0 ? 0 : 1], other = s.hosts.find((hg) => hg !== sleeper);
  const pids = [sleeper.pid, ...sleeper.workers().map((w) => w.pid)];
  t.after(() => pids.forEach((pid) => { try { process.kill(pid, 'SIGCONT'); } catch { /* gone */ } }));
  pids.forEach((pid) => process.kill(pid, 'SIGSTOP'));
  await waitFor(async () => (await other.metric('headgate_cache_leases')) === 4, { what: 'the other host to write' });
  const before = await other.metric('headgate_cache_written_total');
  await waitFor(async () => (await other.metric('headgate_cache_written_total')) > before + 300, { what: 'the other host to go on' });
  pids.slice().reverse().forEach((pid) => process.kill(pid, 'SIGCONT'));
  const after = await other.metric('headgate_cache_written_total');
  await waitFor(async () => (await other.metric('headgate_cache_written_total')) > after + 300, { what: 'more, with both awake' });

  // Last, the host that writes is gone for good, with all its workers.
  await waitFor(async () => (await sleeper.metric('headgate_cache_leases')) === 0, { what: 'the one that slept to know' });
  for (const pid of [other.pid, ...other.workers().map((w) => w.pid)]) process.kill(pid, 'SIGKILL');
  await waitFor(async () => (await sleeper.metric('headgate_cache_leases')) === 4, { what: 'the one that is left to write' });
  const last = await sleeper.metric('headgate_cache_written_total');
  await waitFor(async () => (await sleeper.metric('headgate_cache_written_total')) > last + 300, { what: 'it to go on' });
  await p.stop();
  await judge(s, list);
});

test('B-14: a host stopped with grace under load gives its leases back: the other goes on, each diff once', { timeout: 120000 }, async (t) => {
  // Were the leases left to run out, nobody would write for five minutes.
  const s = await cached(t, { hosts: 2, options: { hotcache_lease: '5m' } });
  await written(s);
  const list = streams(12, 3);
  const p = producing(s.db, list, { perTurn: 20, pauseMs: 10 });
  await waitFor(async () => (await total(s, 'headgate_cache_written_total')) > 500, { what: '500 written' });
  const leases = await Promise.all(s.hosts.map((hg) => hg.metric('headgate_cache_leases')));
  const leaver = s.hosts[leases[0] > 0 ? 0 : 1];
  const other = s.hosts.find((hg) => hg !== leaver), before = await other.metric('headgate_cache_written_total');
  await leaver.stop();
  await waitFor(async () => (await other.metric('headgate_cache_leases')) === 4, { what: 'the other host to write' });
  await waitFor(async () => (await other.metric('headgate_cache_written_total')) > before + 300, { what: 'it to go on' });
  await p.stop();
  await judge(s, list);
  assert.equal(await other.metric('headgate_cache_holes_total'), 0);
});

test('a flushed and a restarted Redis: writing goes on, no repeat, and subscribers notice nothing', { timeout: 120000 }, async (t) => {
  const s = await cached(t, { hosts: 2 });
  await written(s);
  const list = streams(12, 3);
  const c = s.keep(await Client.open(s.hg.url));
  await c.subscribe(list[0].table, list[0].hashId);
  const p = producing(s.db, list, { perTurn: 20, pauseMs: 10 });
  const wrote = async (n) => {
    const before = await total(s, 'headgate_cache_written_total');
    await waitFor(async () => (await total(s, 'headgate_cache_written_total')) > before + n, { ms: 30000, what: `${n} more written` });
  };
  await wrote(300);
  await s.r.flushall();
  await wrote(300);
  for (const q of list) assert.deepEqual(faults(s.db, key(q), await read(s.r, key(q)), { gapsAllowed: true }), []);
  await s.redis.kill();
  await waitFor(async () => (await s.hg.metric('headgate_cache_up')) === 0, { what: 'the loss of Redis to be seen' });
  await s.redis.start();
  await wrote(300);
  await p.stop();
  await judge(s, list, { gapsAllowed: true });
  await c.until(() => c.sub(list[0].hashId).diffs.at(-1)?.lsn === s.db.byStream.get(key(list[0])).at(-1), { what: 'the last diff' });
  assert.deepEqual(faultsOf(s.db, list[0].table, c.sub(list[0].hashId), { whole: true }), []);
  assert.equal(c.sub(list[0].hashId).snapshots.length, 1);
});

test('snapshots are there for programs that read them, when asked for: rows, cursor, ts and TTL', { timeout: 60000 }, async (t) => {
  const s = await cached(t, { options: { hotcache_snapshots: 'yes', profile_paths: '/v2=v2' } });
  await written(s);
  const q = { table: 'orders', hashId: 'q' };
  s.db.commit('orders', 'q', 'a', { n: 1 });
  s.db.commit('orders', 'q', 'b', { n: 2 });
  await s.db.flush();
  await waitFor(async () => (await read(s.r, key(q))).length === 2, { what: 'two cached diffs' });
  const from = Date.now();
  const c = s.keep(await Client.open(s.hg.url));
  const snapshot = await c.subscribe('orders', 'q');
  const text = await waitFor(() => s.r.get(`hcache:snap:${key(q)}`), { what: 'the snapshot' });
  const snap = JSON.parse(text);
  assert.equal(text, JSON.stringify(snap));
  assert.deepEqual(Object.keys(snap), ['rows', 'cursor', 'ts']);
  assert.equal(snap.rows.length, 2);
  assert.deepEqual(snap.rows, snapshot.rows);
  assert.deepEqual(snap.cursor, snapshot.cursor);
  assert.equal(typeof snap.cursor.lsn, 'string');
  assert.ok(snap.ts >= from && snap.ts <= Date.now(), `ts ${snap.ts}`);
  const ttl = await s.r.pttl(`hcache:snap:${key(q)}`);
  assert.ok(ttl > 0 && ttl <= 600000, `TTL ${ttl}`);
  assert.equal(await s.hg.metric('headgate_cache_snapshots_total'), 1);

  // A reader of the former system: the snapshot, then the diffs above its cursor.
  s.db.commit('orders', 'q', 'a', { n: 3 });
  s.db.commit('orders', 'q', 'c', { n: 4 });
  await s.db.flush();
  const list = await waitFor(async () => {
    const l = await read(s.r, key(q));
    return l.length === 4 && l;
  }, { what: 'four cached diffs' });
  assert.deepEqual(list.map((e) => e.lsn).filter((lsn) => lsn > BigInt(snap.cursor.lsn)), s.db.byStream.get(key(q)).slice(2));

  // Old clients' snapshots are not for this.
  const d = s.keep(await Client.open(`${s.hg.url}v2`));
  await d.subscribe('orders', 'old', { queryFbB64: 'AAAA' });
  await d.ping();
  assert.equal(await s.r.exists('hcache:snap:demo_orders|old'), 0);
});

test('a range list written by another program is answered as rangeIndex, behind the snapshot', { timeout: 60000 }, async (t) => {
  const s = await cached(t);
  const pks = ['7', 'a "b"', 'ü', ''];
  await s.r.rpush('hcache:range:demo_orders|q', ...pks);
  await s.r.set('hcache:range:demo_orders|bad', 'no list');
  const c = s.keep(await Client.open(s.hg.url));
  await c.subscribe('orders', 'q');
  const m = await c.message({ op: 'rangeIndex' });
  assert.deepEqual(m, { op: 'rangeIndex', hashId: 'q', pks });
  assert.equal(await s.hg.metric('headgate_cache_snapshots_total'), 0, 'none unless asked for');
  const ops = c.messages.map((x) => x.op).filter(Boolean);
  assert.deepEqual(ops.slice(ops.indexOf('ack')), ['ack', 'snapshot', 'rangeIndex']);
  await c.subscribe('orders', 'bad');
  await c.subscribe('orders', 'none');
  await c.ping();
  assert.equal(c.messages.filter((x) => x.op === 'rangeIndex').length, 1);
  await waitFor(async () => (await s.hg.metric('headgate_cache_errors_total')) === 1, { what: 'the wrong type to be counted' });
});

test('profiles v1 and v2 know no rangeIndex, v3 does', { timeout: 60000 }, async (t) => {
  const s = await cached(t, { options: { profile_paths: '/v1=v1,/v2=v2,/v3=v3' } });
  await s.r.rpush('hcache:range:demo_orders|q', '1');
  for (const profile of ['v1', 'v2', 'v3']) {
    const c = s.keep(await Client.open(`${s.hg.url}${profile}`));
    await c.subscribe('orders', 'q', { queryFbB64: 'AAAA' });
    await c.ping();
    assert.equal(c.messages.filter((x) => x.op === 'rangeIndex').length, profile === 'v3' ? 1 : 0, profile);
  }
});

test('B-6: a replica that stays behind is bridged by cached diffs, then own history, then live', { timeout: 60000 }, async (t) => {
  // The replica applies nothing after its mark, so that no repeated call would ever do.
  const mark = { lagMs: Infinity };
  const s = await cached(t, { sql: { nameLsn: true, replica: () => mark } });
  await written(s);
  for (let i = 0; i < 5; i++) s.db.commit('orders', 'q', `r${i}`, { i });
  await s.db.flush();
  mark.lagMs = -1; // all of it is visible; then the replica stands still
  s.db.read('orders', mark);
  mark.lagMs = Infinity;
  const at = s.db.lsn;
  for (let i = 0; i < 20; i++) s.db.commit('orders', 'q', `r${i % 5}`, { later: i });
  await s.db.flush();
  await waitFor(async () => (await read(s.r, key({ table: 'orders', hashId: 'q' }))).length === 25, { what: '25 cached diffs' });
  const c = s.keep(await Client.open(s.hg.url));
  const snapshot = await c.subscribe('orders', 'q');
  assert.equal(BigInt(snapshot.cursor.lsn), at);
  await c.until(() => c.sub('q').diffs.length === 20, { what: 'the cached diffs' });
  assert.equal(c.messages.filter((m) => m.op === 'diffB64' && m.hashId === 'q').length, 20, 'all of them as diffB64');
  for (let i = 0; i < 5; i++) s.db.commit('orders', 'q', 'x', { live: i });
  await s.db.flush();
  await c.until(() => c.sub('q').diffs.length === 25, { what: 'the live diffs' });
  assert.equal(c.messages.filter((m) => m.op === 'diffB64').length, 20, 'live ones are binary');
  assert.deepEqual(faultsOf(s.db, 'orders', c.sub('q'), { whole: true }), []);
  assert.equal(await s.hg.metric('headgate_snapshots_bridged_total'), 1);
  // Who comes next has it from the log of the worker, or from the cache.
  const d = s.keep(await Client.open(s.hg.url));
  await d.subscribe('orders', 'q');
  await d.until(() => d.sub('q').diffs.length === 25, { what: 'all of it again' });
  assert.deepEqual(faultsOf(s.db, 'orders', d.sub('q'), { whole: true }), []);
});

test('B-6: bridges under load, from replicas that lag by turns, leave no gap and no repeat', { timeout: 120000 }, async (t) => {
  const s = await cached(t, { hosts: 2, sql: { nameLsn: true, replica: () => ({ lagMs: 700 }), delayMs: 5 } });
  await written(s);
  const list = streams(6, 2);
  const p = producing(s.db, list, { perTurn: 10, pauseMs: 10 });
  const clients = [];
  const bridged = () => total(s, 'headgate_snapshots_bridged_total');
  await waitFor(async () => {
    const c = s.keep(await Client.open(s.hosts[clients.length % 2].url));
    clients.push(c);
    await Promise.all(list.map((q) => c.subscribe(q.table, q.hashId)));
    return clients.length >= 10 && (await bridged()) >= 5;
  }, { ms: 60000, what: 'ten clients and five bridges' });
  await p.stop();
  for (const c of clients) {
    for (const q of list) {
      await c.until(() => c.sub(q.hashId).diffs.at(-1)?.lsn === s.db.byStream.get(key(q)).at(-1), { what: `the end of ${q.hashId}` });
      assert.deepEqual(faultsOf(s.db, q.table, c.sub(q.hashId), { whole: true }), []);
    }
  }
});

test('without a cache a subscribe works, and metric and log say so; when it comes, it is used', { timeout: 60000 }, async (t) => {
  const port = await freePort();
  const s = await stage(t, { options: { workers: 1, keydb_host: '127.0.0.1', keydb_port: port } });
  assert.equal(await s.hg.metric('headgate_cache_up'), 0);
  const c = s.keep(await Client.open(s.hg.url));
  await c.subscribe('orders', 'q');
  s.db.commit('orders', 'q', 'x', {});
  await s.db.flush();
  await c.until(() => c.sub('q').diffs.length === 1);
  assert.match(s.hg.logText(), /cache\.down/);

  const redis = await startRedis({ port });
  const r = redis.client();
  t.after(async () => {
    r.disconnect();
    await redis.stop();
  });
  await waitFor(async () => (await s.hg.metric('headgate_cache_up')) === 1, { what: 'the cache' });
  s.db.commit('orders', 'q', 'x', {});
  await s.db.flush();
  await waitFor(async () => (await read(r, key({ table: 'orders', hashId: 'q' }))).at(-1)?.lsn === s.db.lsn, { what: 'the diff in the list' });
});

test('who did not ask for it has none', { timeout: 60000 }, async (t) => {
  const s = await stage(t, { options: { workers: 1 } });
  const c = s.keep(await Client.open(s.hg.url));
  await c.subscribe('orders', 'q');
  assert.doesNotMatch(s.hg.logText(), /cache\./);
});
