// Page seeds (spec 13.1): each snapshot fetched is one record on the seed topic, with the rows and the cursor of the frame,
// before the client has it; one per call, however many wait for it; none when the call failed; nothing waits for Kafka to
// take it.
import test from 'node:test';
import assert from 'node:assert/strict';
import { Client } from '../support/client.mjs';
import { stage } from '../support/stage.mjs';
import { tail } from '../support/topic.mjs';
import { waitFor } from '../support/wait.mjs';

test('a snapshot\'s seed has its key, cursor and rows, integers exact, one for all who share the call', { timeout: 60000 }, async (t) => {
  let wait = 0;
  const big = '9007199254740993'; // no double holds it
  const s = await stage(t, { options: { workers: 1 }, sql: { delayMs: () => wait, rowText: () => (json) => json.replace(`"${big}"`, big) } });
  const seeds = await tail(t, s.kafka, s.topics.seed);
  s.db.commit('orders', 'q', '1', { n: big, text: 'ä"\\' });
  s.db.commit('orders', 'q', '2', { n: 2 });
  await s.db.flush();
  wait = 300;
  const clients = s.keep(await Promise.all([1, 2, 3].map(() => Client.open(s.hg.url))));
  const texts = [];
  clients[0].ws.on('message', (data, binary) => { if (!binary && data.includes('"op":"snapshot"')) texts.push(data.toString()); });
  const snapshots = await Promise.all(clients.map((c) => c.subscribe('orders', 'q')));
  assert.equal(s.db.calls.length, 1, 'they shared one call');
  await waitFor(() => seeds.records.length > 0, { what: 'the seed' });
  const seed = seeds.records[0];
  assert.equal(seed.key, 'demo_orders|q');
  const text = seed.value.toString();
  const v = JSON.parse(text);
  assert.deepEqual(Object.keys(v), ['companyId', 'table', 'hashId', 'cursor', 'rows']);
  assert.deepEqual([v.companyId, v.table, v.hashId], ['demo', 'orders', 'q']);
  assert.deepEqual(v.cursor, snapshots[0].cursor);
  assert.deepEqual(v.rows, snapshots[0].rows);
  assert.ok(text.includes(`:${big}`), 'the integer is exact');
  assert.equal(text.slice(text.indexOf('"rows":')), texts[0].slice(texts[0].indexOf('"rows":')), 'the rows are the frame\'s, byte for byte');
  await clients[0].subscribe('orders', 'other');
  await waitFor(() => seeds.records.length > 1, { what: 'the seed of the second query' });
  assert.deepEqual(seeds.records.map((r) => r.key), ['demo_orders|q', 'demo_orders|other']);
  assert.equal(await s.hg.metric('headgate_seeds_produced_total'), 2);
});

test('a failed snapshot has no seed; an empty topic name sends none', { timeout: 60000 }, async (t) => {
  let fail = 'no such table';
  const s = await stage(t, { options: { workers: 1 }, sql: { fail: () => fail } });
  const seeds = await tail(t, s.kafka, s.topics.seed);
  const c = s.keep(await Client.open(s.hg.url));
  await assert.rejects(c.subscribe('orders', 'bad'), /snapshot_failed/);
  fail = undefined;
  await c.subscribe('orders', 'good');
  await waitFor(() => seeds.records.length > 0, { what: 'the seed' });
  assert.deepEqual(seeds.records.map((r) => r.key), ['demo_orders|good']);

  const off = await stage(t, { options: { workers: 1, page_seed_topic: '' } });
  const d = off.keep(await Client.open(off.hg.url));
  await d.subscribe('orders', 'q');
  assert.equal(await off.hg.metric('headgate_seeds_produced_total') + await off.hg.metric('headgate_seeds_failed_total'), 0);
});

test('a seed that Kafka refuses costs the client nothing', { timeout: 60000 }, async (t) => {
  const s = await stage(t, { options: (topics) => ({ workers: 1, rpc_timeout: '2s', page_seed_topic: `none.${topics.tag}`, kafka_properties: 'allow.auto.create.topics=false' }) });
  const c = s.keep(await Client.open(s.hg.url));
  s.db.commit('orders', 'q', '1', {});
  await s.db.flush();
  assert.equal((await c.subscribe('orders', 'q')).rows.length, 1);
  const all = async () => await s.hg.metric('headgate_seeds_failed_total') + await s.hg.metric('headgate_seeds_produced_total');
  await waitFor(async () => await all() === 1, { what: 'the seed\'s end' });
});
