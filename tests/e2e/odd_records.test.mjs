// Records as they should not be: without key, value, LSN; with a 7-byte LSN; 20 MB long; equal and falling LSNs, replays
// (the table of ARCHITECTURE.md "Identity is the position, order is the LSN"). Each is counted or answered as the table
// says; nobody is closed, and a bystander's stream sees nothing of it.
// Not tested here: topics made anew, offsets out of range.
import test from 'node:test';
import assert from 'node:assert/strict';
import { Client } from '../support/client.mjs';
import { faultsOf, lsnHeader } from '../support/database.mjs';
import { stage } from '../support/stage.mjs';
import { waitFor } from '../support/wait.mjs';

const KEY = 'demo_t|h';

async function scene(t, options = {}) {
  const s = await stage(t, { partitions: 1, options: { workers: 2, log_level: 'info', ...options } });
  s.db.commit('t', 'h', 'a', {});
  s.db.commit('t', 'calm', 'a', {});
  await s.db.flush();
  s.c = s.keep(await Client.open(s.hg.url));
  s.bystander = s.keep(await Client.open(s.hg.url));
  await s.c.subscribe('t', 'h');
  await s.bystander.subscribe('t', 'calm');
  s.lsn = 5000n;
  s.payload = (tag, lsn) => JSON.stringify({ stream: KEY, lsn: String(lsn), tag });
  s.record = (tag, lsn, more = {}) => ({
    key: KEY, value: s.payload(tag, lsn), headers: lsn === undefined ? {} : { lsn: lsnHeader(lsn, 'text') }, ...more,
  });
  s.send = (...messages) => s.db.producer.send({ topic: s.topics.diffs, messages });
  s.tags = (c = s.c) => c.sub('h').diffs.map((d) => d.data.tag);
  // After a last good record has arrived, all before it in the partition has been handled.
  s.settle = async () => {
    s.lsn += 1000n;
    await s.send(s.record('end', s.lsn));
    await s.c.until(() => s.tags().at(-1) === 'end', { what: 'the last record' });
    s.c.sub('h').diffs.pop();
    s.db.lsn = s.lsn;
    s.db.commit('t', 'calm', 'a', {});
    await s.db.flush();
    const due = s.db.lsnsAfter('t', 'calm', s.bystander.sub('calm').snapshots[0].lsn).length;
    await s.bystander.until(() => s.bystander.binary >= due, { what: 'the bystander\'s diff' });
    assert.deepEqual(faultsOf(s.db, 't', s.bystander.sub('calm'), { whole: true }), []);
    assert.equal(s.bystander.messages.filter((m) => m.op === 'error' || m.op === 'snapshot').length, 1, 'the bystander saw its snapshot only');
    assert.ok(!s.c.closed && !s.bystander.closed);
  };
  return s;
}

const grows = (s, metric, least = 1) => waitFor(async () => (await s.hg.metric(metric)) >= least, { what: `${metric} to count ${least}` });

test('no key, no value, no LSN, LSNs of 7 bytes and of nonsense: counted, dropped, warned about by topic', { timeout: 60000 }, async (t) => {
  const s = await scene(t);
  await s.send(
    s.record('no key', 5001n, { key: null }), s.record('empty key', 5002n, { key: '' }), s.record('no value', 5003n, { value: null }),
    s.record('no lsn', undefined), s.record('seven', 1n, { headers: { lsn: Buffer.alloc(7, 9) } }),
    s.record('nonsense', 1n, { headers: { lsn: 'twelve' } }), s.record('empty', 1n, { headers: { lsn: '' } }),
    s.record('21 digits', 1n, { headers: { lsn: '123456789012345678901' } }),
    s.record('good', 5004n), s.record('other name', 5005n, { headers: { __lsn: '5005' } }), s.record('upper', 5006n, { headers: { LSN: lsnHeader(5006n) } }),
  );
  await s.settle();
  assert.deepEqual(s.tags(), ['good', 'other name', 'upper']);
  await grows(s, 'headgate_records_no_key_total', 3);
  await grows(s, 'headgate_records_no_lsn_total', 5);
  assert.match(s.hg.logText(), new RegExp(` warn .*${s.topics.diffs}`));
});

test('equal LSNs: handed on unless the bytes are those of the record just before', { timeout: 60000 }, async (t) => {
  const s = await scene(t);
  await s.send(s.record('x=1', 5001n), s.record('x=2', 5001n), s.record('x=1', 5001n), s.record('x=1', 5001n), s.record('x=3', 5002n));
  await s.settle();
  assert.deepEqual(s.tags(), ['x=1', 'x=2', 'x=1', 'x=3']);
});

test('a producer\'s replay is dropped', { timeout: 60000 }, async (t) => {
  const s = await scene(t);
  const records = [1, 2, 3, 4].map((n) => s.record(`n=${n}`, 5000n + BigInt(n)));
  await s.send(...records);
  await s.send(...records.slice(1, 3));
  await s.settle();
  assert.deepEqual(s.tags(), ['n=1', 'n=2', 'n=3', 'n=4']);
  await grows(s, 'headgate_records_replayed_total', 2);
});

test('a falling LSN with other bytes resets the stream: a further snapshot with a reason and no ack', { timeout: 60000 }, async (t) => {
  const s = await scene(t);
  await s.send(s.record('high', 5010n));
  await s.c.until(() => s.tags().length === 1);
  await s.send(s.record('low', 5005n));
  await s.c.until(() => s.c.sub('h').snapshots.length === 2, { what: 'the further snapshot' });
  assert.equal(s.c.sub('h').snapshots[1].reason, 'reset');
  assert.equal(s.c.sub('h').acks.length, 1);
  await grows(s, 'headgate_records_disorder_total');
  await s.settle();
  assert.deepEqual(s.tags(), ['high']);
});

test('in profile v3 a reset is an overflow', { timeout: 60000 }, async (t) => {
  const s = await scene(t, { profile: 'v3' });
  await s.send(s.record('high', 5010n), s.record('low', 5005n));
  await s.c.until(() => s.c.messages.find((m) => m.op === 'error'), { what: 'overflow' });
  const error = s.c.messages.find((m) => m.op === 'error');
  assert.deepEqual([error.code, error.message], ['overflow', 'reset-to-snapshot']);
  await s.c.subscribe('t', 'h');
  await s.settle();
});

test('a record of 20 MB becomes a stub: its stream is reset, nobody is closed', { timeout: 90000 }, async (t) => {
  const s = await scene(t, { kafka_properties: 'fetch.message.max.bytes=33554432,receive.message.max.bytes=100000000' });
  await s.send(s.record('huge', 5001n, { value: Buffer.alloc(20 << 20, 'x') }));
  await s.c.until(() => s.c.sub('h').snapshots.length === 2, { what: 'the further snapshot', ms: 30000 });
  assert.equal(s.c.sub('h').snapshots[1].reason, 'reset');
  await grows(s, 'headgate_records_stub_total');
  await s.settle();
  assert.deepEqual(s.tags(), []);
});

test('partitions added while it runs are read from their start', { timeout: 60000 }, async (t) => {
  const s = await scene(t, { kafka_metadata_interval: '200ms' });
  const admin = s.db.kafka.admin();
  await admin.connect();
  await admin.createPartitions({ topicPartitions: [{ topic: s.topics.diffs, count: 3 }] });
  await admin.disconnect();
  await waitFor(async () => {
    try {
      await s.db.producer.send({ topic: s.topics.diffs, messages: [{ ...s.record('in 2', 9001n), partition: 2 }] });
      return true;
    } catch {
      return false;
    }
  }, { what: 'the new partition to take a record' });
  await s.c.until(() => s.tags().includes('in 2'), { what: 'the record of the new partition' });
});
