// Topics whose record keys are bare hashIds, as v1 and v2 have them, beside topics with routing keys (spec 7.3, C-6, C-7,
// C-13): who gets them, exactly, in order and fenced, on all workers of two hosts; and who must not (B-12, B-29).
// Not tested here: the index itself and disorder between both kinds (worker/stream_test).
import test from 'node:test';
import assert from 'node:assert/strict';
import { Client } from '../support/client.mjs';
import { Database, faultsOf } from '../support/database.mjs';
import { stage } from '../support/stage.mjs';
import { waitFor } from '../support/wait.mjs';

const PATHS = '/one=v1,/two=v2,/three=v3';
const FB = { queryJson: undefined, queryFbB64: Buffer.from('opaque').toString('base64') };

const open = async (s, path, { host = s.hg, ...more } = {}) => s.keep(await Client.open(new URL(path, host.url).href, more));

test('C-7, B-12: bare records reach the v1 and v2 sessions of exactly their hashId, on two hosts, in order', { timeout: 120000 }, async (t) => {
  const s = await stage(t, {
    hosts: 2, partitions: 4, database: { bare: true }, sql: { delayMs: 100 },
    options: (topics) => ({ workers: 2, profile_paths: PATHS, kafka_topics: `${topics.diffs}:bare,${topics.rows}:row` }),
  });
  const hashes = ['q', 'aq', 'qa', 'a', 'q q'];
  const early = [], all = [];
  for (const [i, path] of ['/one', '/two', '/one', '/two', '/three', '/'].entries()) early.push(await open(s, path, { host: s.hosts[i % 2] }));
  early.push(await open(s, '/', { protocols: ['json'] }));
  for (const c of early) for (const h of hashes) await c.subscribe('t', h, c === early[5] ? {} : FB);

  let n = 0;
  const some = async (count) => {
    for (let i = 0; i < count; i++, n++) s.db.commit('t', hashes[n % hashes.length], `${n % 20}`, { n });
    await s.db.flush();
  };
  await some(500);
  // While changes come: what arrives during a snapshot is held, not lost (B-3).
  const late = await Promise.all([0, 1, 0, 1].map((i) => open(s, '/two', { host: s.hosts[i] })));
  await Promise.all([some(1000), ...late.flatMap((c) => hashes.map((h) => c.subscribe('t', h, FB)))]);
  await some(500);
  all.push(...early, ...late);

  const hear = all.filter((c) => !/\/(three)?$/.test(c.ws.url) || c.ws.protocol === 'json');
  assert.equal(hear.length, all.length - 2);
  const last = (h) => s.db.lsnsAfter('t', h, 0n).at(-1);
  await waitFor(() => hear.every((c) => hashes.every((h) => (c.sub(h).diffs.at(-1)?.lsn ?? c.sub(h).snapshots.at(-1).lsn) >= last(h))),
    { ms: 30000, what: () => hear.map((c) => `${c.ws.url} ${c.binary}`).join(', ') });
  await Promise.all(all.map((c) => c.ping()));
  for (const c of all) {
    for (const h of hashes) {
      if (!hear.includes(c)) assert.equal(c.sub(h).diffs.length, 0, `${c.ws.url} has no business with bare keys`);
      // The snapshots of v1 have no rows: its diffs alone are judged.
      else assert.deepEqual(faultsOf(s.db, 't', c.sub(h), { whole: true }).filter((f) => !/\/one/.test(c.ws.url) || !/misses/.test(f)), [], `${c.ws.url} ${h}`);
    }
  }
  assert.equal(await s.hg.metric('headgate_records_disorder_total'), 0);
});

for (const [options, reaches] of [
  [{ trusted_proxies: '127.0.0.0/8' }, false],
  [{ trusted_proxies: '127.0.0.0/8', bare_keys: 'all' }, true],
  [{ auth: 'trust' }, true],
  [{ auth: 'trust', bare_keys: 'default_tenant' }, false],
]) {
  test(`B-29, C-13: bare records name no tenant: another one's v2 session ${reaches ? 'gets' : 'never gets'} them with ${JSON.stringify(options)}`, { timeout: 60000 }, async (t) => {
    const s = await stage(t, {
      database: { bare: true },
      options: (topics) => ({ workers: 1, profile_paths: PATHS, kafka_topics: `${topics.diffs}:bare`, ...options }),
    });
    const demo = await open(s, '/two'), acme = await open(s, '/two', { headers: { 'x-tenant': 'acme' } });
    const others = [await open(s, '/'), await open(s, '/three'), await open(s, '/three', { headers: { 'x-tenant': 'acme' } })];
    for (const c of [demo, acme]) await c.subscribe('t', 'q', FB);
    for (const c of others) await c.subscribe('t', 'q');
    for (let n = 0; n < 20; n++) s.db.commit('t', 'q', 'x', { n });
    await s.db.flush();
    await demo.until(() => demo.binary === 20, { what: 'the default tenant\'s diffs' });
    await Promise.all([acme, ...others].map((c) => c.ping()));
    assert.equal(acme.binary, reaches ? 20 : 0);
    assert.deepEqual(others.map((c) => c.binary), [0, 0, 0]);
  });
}

test('C-7: one subscription of v2 hears its routing key and its hashId; v3 only the former; unsubscribe ends both', { timeout: 60000 }, async (t) => {
  const s = await stage(t, {
    partitions: 1,
    options: (topics) => ({ workers: 2, profile_paths: PATHS, kafka_topics: `${topics.diffs}:diff,${topics.bare}:bare` }),
  });
  const bare = new Database(s.kafka.brokers, { ...s.topics, diffs: s.topics.bare }, { bare: true });
  t.after(() => bare.close());
  await bare.connect();
  const two = await open(s, '/two'), three = await open(s, '/three'), other = await open(s, '/two');
  await two.subscribe('u', 'q', FB);
  await two.subscribe('t', 'q', FB); // takes its place: v2 knows no table in a key
  await three.subscribe('t', 'q');
  await other.subscribe('t', 'q', FB);
  let lsn = 5000n;
  const commit = async (db, heard, two_gets) => {
    const before = two.binary;
    db.lsn = lsn++;
    db.commit('t', 'q', 'x', {});
    await db.flush();
    await Promise.all([two.until(() => two.binary === before + two_gets, { what: `${two_gets} from ${db.topics.diffs}` }), ...heard.map(([c, n]) => c.until(() => c.binary === n))]);
  };
  await commit(s.db, [[three, 1], [other, 1]], 1);
  await commit(bare, [[other, 2]], 1);
  await commit(s.db, [[three, 2], [other, 3]], 1);
  await commit(bare, [[other, 4]], 1);
  await Promise.all([two, three, other].map((c) => c.ping()));
  assert.deepEqual([two.binary, three.binary, other.binary], [4, 2, 4]);
  two.unsubscribe('t', 'q');
  await two.ping();
  await commit(bare, [[other, 5]], 0);
  await commit(s.db, [[three, 3], [other, 6]], 0);
  await two.ping();
  assert.equal(two.binary, 4);
});

test('a bare record above max_record is an overflow for its v2 subscribers only', { timeout: 60000 }, async (t) => {
  const s = await stage(t, {
    database: { bare: true },
    options: (topics) => ({ workers: 2, profile_paths: PATHS, kafka_topics: `${topics.diffs}:bare`, max_record: '4k' }),
  });
  const hit = await open(s, '/two'), spared = await open(s, '/two');
  await hit.subscribe('t', 'q', FB);
  await spared.subscribe('t', 'other', FB);
  s.db.commit('t', 'q', 'x', {}, { bytes: 5000 });
  await s.db.flush();
  assert.deepEqual(await hit.message({ op: 'error' }), { op: 'error', code: 'overflow', message: 'reset-to-snapshot' });
  s.db.commit('t', 'other', 'x', {});
  await s.db.flush();
  await spared.until(() => spared.binary === 1);
  assert.ok(!spared.messages.some((m) => m.op === 'error'));
  await hit.subscribe('t', 'q', FB);
  s.db.commit('t', 'q', 'x', {});
  await s.db.flush();
  await hit.until(() => hit.binary === 1);
});

for (const profile of ['v1', 'v2']) {
  test(`C-6: profile ${profile} reads a topic without a kind as diffs under bare hashIds, and says so`, { timeout: 60000 }, async (t) => {
    const s = await stage(t, {
      database: { bare: true }, sql: profile === 'v2' && {},
      options: (topics) => ({ workers: 1, kafka_topics: topics.diffs }), env: { HEADGATE_PROFILE: profile },
    });
    assert.match(s.hg.logText(), /has no kind and is read as diffs/);
    const c = await open(s, '/');
    await c.subscribe('t', 'q', FB);
    for (let n = 0; n < 10; n++) s.db.commit('t', 'q', 'x', { n });
    await s.db.flush();
    await c.until(() => c.binary === 10);
    assert.deepEqual(faultsOf(s.db, 't', c.sub('q'), { whole: true }), []);
  });
}
