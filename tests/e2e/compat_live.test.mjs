// Live queries where the former gateways went wrong, one promise each: what arrives during a snapshot, LSN headers as real
// producers write them, failed and repeated snapshots, the query in FlatBuffers, subscribing twice, leaving too early; and what
// only profiles v1 to v3 have: late diffs as diffB64, one overflow for all.
// Not tested here: many at once (subscribe_race, fan_out_exactly_once), bad records (kafka_faults).
import test from 'node:test';
import assert from 'node:assert/strict';
import * as flatbuffers from 'flatbuffers';
import { Client } from '../support/client.mjs';
import { faultsOf, lsnHeader } from '../support/database.mjs';
import { decodeQuery } from '../support/sqlwire.mjs';
import { stage } from '../support/stage.mjs';
import { tail } from '../support/topic.mjs';
import { waitFor } from '../support/wait.mjs';

/** Holds back the SQL worker's answers; release(n) lets the first n of those asked go (all when n is left out). */
function gate(s) {
  const waiting = [], answer = s.db.answer.bind(s.db);
  let open = false;
  s.db.answer = async (request) => {
    if (!open) await new Promise((go) => waiting.push(go));
    return answer(request);
  };
  return {
    asked: (n) => waitFor(() => waiting.length >= n, { what: `${n} calls of the SQL worker` }),
    release: (n = Infinity) => {
      open ||= n === Infinity;
      for (const go of waiting.splice(0, n)) go();
    },
  };
}

/** Commits, and waits until the gateway has taken the records. */
async function consumed(s, commits) {
  const before = await s.hg.metric('headgate_records_total');
  for (const c of commits) s.db.commit(...c);
  await s.db.flush();
  await waitFor(async () => (await s.hg.metric('headgate_records_total')) >= before + commits.length, { what: `${commits.length} records` });
}

const subscribe = (c, more = {}) => c.send({ op: 'subscribe', table: 't', hashId: 'h', queryJson: '{}', ...more });
const ops = (c) => c.messages.map((m) => m.op).filter((op) => op && op !== 'pong');

/** A StreamingSqlDataFilter with one filter, n > 5, and a limit, as a client's official builder makes it. */
function queryInFlatBuffers(limit) {
  const b = new flatbuffers.Builder(64);
  const table = (slots, fill) => { b.startObject(slots); fill(); return b.endObject(); };
  const field = b.createString('n'), hash = b.createString('h');
  const five = table(1, () => b.addFieldInt64(0, 5n, 0n));
  const filter = table(5, () => { b.addFieldOffset(0, field, 0); b.addFieldInt8(1, 5, 0); b.addFieldOffset(2, five, 0); b.addFieldInt8(3, 4, 0); });
  b.startVector(1, 1, 1);
  b.addInt8(2);
  const types = b.endVector();
  b.startVector(4, 1, 4);
  b.addOffset(filter);
  const filters = b.endVector();
  const wrapper = table(3, () => { b.addFieldInt8(0, 1, 0); b.addFieldOffset(1, types, 0); b.addFieldOffset(2, filters, 0); });
  b.finish(table(6, () => { b.addFieldOffset(0, hash, 0); b.addFieldOffset(1, wrapper, 0); b.addFieldInt32(2, limit, 50); }));
  return Buffer.from(b.asUint8Array());
}

test('B-3: diffs that arrive while the snapshot is under way come behind it, in order, in binary', { timeout: 60000 }, async (t) => {
  const s = await stage(t, { options: { workers: 1 } });
  const g = gate(s);
  const c = s.keep(await Client.open(s.hg.url));
  subscribe(c);
  await g.asked(1);
  await consumed(s, [1, 2, 3].map((n) => ['t', 'h', 'x', { n }]));
  assert.deepEqual([c.binary, ops(c)], [0, ['ack']], 'nothing but the ack before the snapshot');
  // Rows as they were when the snapshot was asked for: the held diffs are all there is of the changes.
  const rows = s.db.rows.bind(s.db);
  s.db.rows = () => new Map();
  g.release();
  await c.until(() => c.sub('h').diffs.length === 3, { what: 'the held diffs' });
  s.db.rows = rows;
  assert.equal(c.sub('h').snapshots[0].at, 0, 'behind the snapshot');
  assert.deepEqual(c.sub('h').diffs.map((d) => d.data.row.n), [1, 2, 3]);
  assert.equal(c.binary, 3);
  await consumed(s, [['t', 'h', 'x', { n: 4 }]]);
  await c.until(() => c.sub('h').diffs.length === 4, { what: 'the live diff' });
  await c.ping();
  assert.deepEqual(ops(c), ['ack', 'snapshot'], 'no other frame: no diff in JSON, no diffB64');
});

test('B-4: LSN headers of real producers are read: lsn, LSN, __lsn; 8 bytes or decimal text', { timeout: 60000 }, async (t) => {
  const s = await stage(t, { partitions: 1, options: { workers: 1 } });
  const c = s.keep(await Client.open(s.hg.url));
  await c.subscribe('t', 'h');
  let lsn = s.db.lsn + 1000n;
  const sent = [];
  for (const name of ['lsn', 'LSN', '__lsn']) {
    for (const encoding of ['binary', 'text']) {
      sent.push(++lsn);
      await s.db.producer.send({
        topic: s.topics.diffs,
        messages: [{ key: 'demo_t|h', value: JSON.stringify({ stream: 'demo_t|h', lsn: String(lsn) }), headers: { [name]: lsnHeader(lsn, encoding) } }],
      });
    }
  }
  // Beyond 2^53, where a double would make two of them one; and lsn before the other names.
  for (const more of [2n ** 62n, 2n ** 62n + 1n]) {
    sent.push(more);
    await s.db.producer.send({
      topic: s.topics.diffs,
      messages: [{ key: 'demo_t|h', value: JSON.stringify({ stream: 'demo_t|h', lsn: String(more) }), headers: { __lsn: '1', LSN: '2', lsn: lsnHeader(more, 'text') } }],
    });
  }
  await c.until(() => c.sub('h').diffs.length === sent.length, { what: `${sent.length} diffs` });
  assert.deepEqual(c.sub('h').diffs.map((d) => d.lsn), sent);
  assert.equal(await s.hg.metric('headgate_records_no_lsn_total'), 0);
  const late = s.keep(await Client.open(s.hg.url));
  assert.equal((await late.subscribe('t', 'other')).lsn, 2n ** 62n + 1n, 'the watermark is that of the last');
});

test('B-7: after snapshot_failed, which names its hashId, nothing is held or sent for the subscription', { timeout: 60000 }, async (t) => {
  let fail = 'no such table';
  const s = await stage(t, { sql: { fail: () => fail }, options: { workers: 1 } });
  const c = s.keep(await Client.open(s.hg.url)), other = s.keep(await Client.open(s.hg.url));
  subscribe(c);
  const error = await c.message({ op: 'error' });
  assert.deepEqual([error.code, error.hashId], ['snapshot_failed', 'h']);
  assert.match(error.message, /no such table/);
  await waitFor(async () => await s.hg.metric('headgate_subscriptions') === 0, { what: 'no subscription' });
  fail = undefined;
  await other.subscribe('t', 'h');
  await consumed(s, [['t', 'h', 'x', { n: 1 }], ['t', 'h', 'x', { n: 2 }]]);
  await other.until(() => other.binary === 2);
  await c.ping();
  assert.equal(c.binary, 0);
  await c.subscribe('t', 'h');
  await consumed(s, [['t', 'h', 'x', { n: 3 }]]);
  await c.until(() => c.binary === 1);
  assert.deepEqual(faultsOf(s.db, 't', c.sub('h'), { whole: true }), []);
});

test('B-8: a call that timed out is made again with the same query, also one given as queryFbB64; never without it', { timeout: 60000 }, async (t) => {
  const s = await stage(t, { sql: { fail: 'silent' }, options: { workers: 1, rpc_timeout: '500ms', profile_paths: '/v3=v3' } });
  const control = await tail(t, s.kafka, s.topics.control);
  const bytes = queryInFlatBuffers(7);
  const wrapper = { kind: 'and', filters: [{ field: 'n', value: 5n, type: 4 }] };
  const queryJson = JSON.stringify({ limit: 7, wrapper: { filter_wrapper_type: 'and', filters: [{ field_name: 'n', filter_type: 'greaterThan', value: { Int64Value: { value: 5 } } }] } });
  for (const [hashId, query] of [['fb', { queryFbB64: bytes.toString('base64'), queryJson: undefined }], ['json', { queryJson }], ['both', { queryJson, queryFbB64: 'AAAA' }]]) {
    for (const path of ['', 'v3']) {
      const c = s.keep(await Client.open(s.hg.url + path));
      const before = s.db.calls.length;
      subscribe(c, { hashId: `${hashId}${path}`, ...query });
      assert.equal((await c.message({ op: 'error' })).code, 'snapshot_failed');
      const calls = s.db.calls.slice(before);
      assert.equal(calls.length, 2, 'once more, and no more');
      for (const call of calls) assert.deepEqual([call.method, call.tableName, call.limit, call.wrapper], ['GET_DATA', 't', 7, wrapper], hashId + path);
    }
  }
  const told = await waitFor(() => control.of('demo_t|fb').find((r) => r.value), { what: 'the query on the control topic' });
  assert.deepEqual(told.value, bytes, 'the bytes as the client gave them');
  const both = await waitFor(() => control.of('demo_t|both').find((r) => r.value), { what: 'the query on the control topic' });
  assert.equal(decodeQuery(both.value).limit, 7, 'JSON before FlatBuffers');
});

test('a query without a limit asks for all rows; who has none that can be read gets 500 rows from offset 0', { timeout: 60000 }, async (t) => {
  const s = await stage(t, { options: { workers: 1, profile_paths: '/v3=v3' } });
  const c = s.keep(await Client.open(`${s.hg.url}v3`));
  await c.subscribe('t', 'h');
  await c.subscribe('t', 'none', { queryFbB64: '!!!!', queryJson: undefined });
  for (const [i, limit] of [0, 500].entries()) {
    const call = s.db.calls[i];
    assert.deepEqual([call.method, call.companyId, call.tableName, call.limit, call.offset, call.strictAfter, call.wrapper], ['GET_DATA', 'demo', 't', limit, 0, true, undefined]);
  }
});

test('B-9: a second subscribe starts the query anew, an unsubscribe ends it, whatever is under way', { timeout: 60000 }, async (t) => {
  const s = await stage(t, { options: { workers: 1 } });
  const g = gate(s);
  const c = s.keep(await Client.open(s.hg.url));
  const other = JSON.stringify({ limit: 3 });
  subscribe(c);
  await g.asked(1);
  subscribe(c, { queryJson: other });
  await g.asked(2);
  await consumed(s, [['t', 'h', 'x', { n: 1 }]]);
  g.release(1); // of the first, which nobody waits for any more
  await c.ping();
  assert.deepEqual(ops(c), ['ack', 'ack'], 'the first snapshot is not sent');
  g.release(1);
  await c.until(() => c.sub('h').snapshots.length === 1, { what: 'the snapshot of the second' });
  await consumed(s, [['t', 'h', 'x', { n: 2 }]]);
  await c.until(() => c.sub('h').diffs.at(-1)?.data.row.n === 2, { what: 'the diff' });
  assert.deepEqual(ops(c), ['ack', 'ack', 'snapshot']);
  assert.deepEqual(faultsOf(s.db, 't', c.sub('h')), []);

  const d = s.keep(await Client.open(s.hg.url));
  subscribe(d, { hashId: 'left', queryJson: other });
  await g.asked(1);
  d.unsubscribe('t', 'left');
  await d.ping();
  await consumed(s, [['t', 'left', 'y', { n: 3 }]]);
  g.release();
  await c.subscribe('t', 'behind');
  await d.ping();
  assert.deepEqual([ops(d), d.binary], [['ack'], 0], 'nothing after unsubscribe');
  // A second subscribe of a live query gives a second snapshot, and goes on without a gap.
  await c.subscribe('t', 'h', { queryJson: other });
  await consumed(s, [['t', 'h', 'x', { n: 4 }]]);
  await c.until(() => c.sub('h').diffs.at(-1)?.data.row.n === 4, { what: 'the diff' });
  assert.deepEqual(faultsOf(s.db, 't', c.sub('h'), { whole: true }), []);
});

test('the SQL worker\'s cursor fields are in the snapshot\'s cursor, but lsn is the fence', { timeout: 60000 }, async (t) => {
  const s = await stage(t, { sql: { reply: () => ({ rows: ['{"id":1}'], cursor: [['id', 9007199254740993n], ['name', 'x'], ['lsn', 5n]] }) }, options: { workers: 1 } });
  await consumed(s, [['t', 'other', 'x', {}]]);
  const c = s.keep(await Client.open(s.hg.url));
  const texts = [];
  c.ws.on('message', (data) => texts.push(data.toString()));
  await c.subscribe('t', 'h');
  const text = texts.find((x) => x.startsWith('{"op":"snapshot"'));
  const frame = JSON.parse(text);
  assert.deepEqual(Object.keys(frame).slice(0, 5), ['op', 'hashId', 'version', 'cursor', 'rows']);
  assert.deepEqual([frame.version, frame.rows], [0, [{ id: 1 }]]);
  assert.deepEqual([frame.cursor.lsn, frame.cursor.name], [String(s.db.lsn), 'x']);
  assert.match(text, /"id":9007199254740993[,}]/);
});

test('a query that cannot be read is bad_query in auto, and no query in v2 and v3 unless query_mode = strict', { timeout: 60000 }, async (t) => {
  const s = await stage(t, { options: { workers: 1, profile_paths: '/v3=v3' } });
  const strict = s.keep(await Client.open(s.hg.url)), lenient = s.keep(await Client.open(`${s.hg.url}v3`));
  for (const [i, query] of [{ queryJson: '{' }, { queryJson: 'garbage' }, { queryJson: '[]' }, { queryJson: 'null' }, { queryJson: '5' }, { queryFbB64: '!!!!', queryJson: undefined }, { queryFbB64: 'AAAA', queryJson: undefined }].entries()) {
    subscribe(strict, { hashId: `q${i}`, ...query });
    const error = await strict.message({ op: 'error', hashId: `q${i}` });
    assert.equal(error.code, 'bad_query');
    assert.ok(error.detail, 'says why');
    await lenient.subscribe('t', `q${i}`, query);
    assert.deepEqual([s.db.calls.at(-1).limit, s.db.calls.at(-1).wrapper], [query.queryJson ? 0 : 500, undefined]); // text that is none is {}
  }
  assert.deepEqual(ops(strict).filter((op) => op === 'ack'), [], 'refused before the ack');
});

test('resumeFromVersion: a number or its decimal text, exact beyond 2^53; the snapshot comes all the same', { timeout: 60000 }, async (t) => {
  const s = await stage(t, { options: { workers: 1 } });
  const c = s.keep(await Client.open(s.hg.url));
  for (const [i, [given, fence]] of [[5000, 5000n], ['9007199254740993', 9007199254740993n], ['18446744073709551615', 18446744073709551615n], [0, s.db.lsn]].entries()) {
    await consumed(s, [['t', 'other', 'x', { i }]]);
    assert.equal((await c.subscribe('t', `h${i}`, { resumeFromVersion: given })).lsn, given === 0 ? s.db.lsn : fence, String(given));
  }
});

// More than the kernel's buffers of a loopback connection take.
const FLOOD = 9000, BYTES = 2000;

test('v3: what waited for a full socket comes as diffB64 with the client\'s hashId, in order; in auto it stays binary', { timeout: 120000 }, async (t) => {
  const s = await stage(t, { options: { workers: 1, profile_paths: '/v3=v3', out_stall: '1h', out_grace: '1h', held_records: '100000', held_bytes: '256m' } });
  const [auto, v3] = [s.keep(await Client.open(s.hg.url)), s.keep(await Client.open(`${s.hg.url}v3`))];
  for (const c of [auto, v3]) {
    await c.subscribe('t', 'h');
    c.pause();
  }
  for (let n = 0; n < FLOOD; n++) {
    s.db.commit('t', 'h', `${n % 20}`, { n }, { bytes: BYTES });
    if (n % 500 === 499) await s.db.flush();
  }
  await waitFor(async () => await s.hg.metric('headgate_slow_clients') === 2, { what: 'two slow clients' });
  for (const c of [auto, v3]) c.resume();
  await waitFor(() => [auto, v3].every((c) => c.sub('h').diffs.length === FLOOD), { ms: 60000, what: () => `all diffs, got ${[auto, v3].map((c) => c.sub('h').diffs.length)}` });
  for (const c of [auto, v3]) assert.deepEqual(faultsOf(s.db, 't', c.sub('h'), { whole: true }), []);
  const late = v3.messages.filter((m) => m.op === 'diffB64');
  assert.ok(late.length > 0);
  for (const m of late) assert.deepEqual([Object.keys(m), m.hashId], [['op', 'hashId', 'b64'], 'h']);
  assert.deepEqual(auto.messages.filter((m) => m.op === 'diffB64'), []);
});

test('v3: falling behind costs all subscriptions of the session one overflow without hashId; then nothing until it subscribes again', { timeout: 120000 }, async (t) => {
  const s = await stage(t, { options: { workers: 1, profile: 'v3', out_stall: '1h', out_grace: '200ms' } });
  const [slow, fast] = [s.keep(await Client.open(s.hg.url)), s.keep(await Client.open(s.hg.url))];
  for (const c of [slow, fast]) for (const hashId of ['h', 'quiet']) await c.subscribe('t', hashId);
  slow.pause();
  for (let n = 0; n < FLOOD; n++) {
    s.db.commit('t', 'h', `${n % 20}`, { n }, { bytes: BYTES });
    if (n % 500 === 499) await s.db.flush();
  }
  await waitFor(async () => await s.hg.metric('headgate_overflows_total') > 0, { what: 'an overflow' });
  slow.resume();
  assert.deepEqual(await slow.message({ op: 'error' }), { op: 'error', code: 'overflow', message: 'reset-to-snapshot' });
  await fast.until(() => fast.sub('h').diffs.length === FLOOD, { ms: 60000, what: 'the sibling\'s diffs' });
  await slow.ping();
  const seen = slow.binary;
  await consumed(s, [['t', 'quiet', 'x', { n: 1 }], ['t', 'h', 'x', { n: 2 }]]);
  await fast.until(() => fast.sub('quiet').diffs.length === 1);
  await slow.ping();
  assert.equal(slow.binary, seen);
  assert.equal(slow.messages.filter((m) => m.op === 'error').length, 1);
  await slow.subscribe('t', 'quiet');
  await consumed(s, [['t', 'quiet', 'x', { n: 3 }]]);
  await slow.until(() => slow.sub('quiet').diffs.at(-1)?.data.row.n === 3);
});

test('B-16: a slow client that goes is slow no more: the pause of slow_socket_pause_threshold ends with it', { timeout: 120000 }, async (t) => {
  const s = await stage(t, { options: { workers: 1, out_stall: '1h', out_grace: '1h', held_records: '100000', held_bytes: '256m', slow_socket_pause_threshold: 1 } });
  const slow = s.keep([await Client.open(s.hg.url), await Client.open(s.hg.url)]), fast = s.keep(await Client.open(s.hg.url));
  for (const c of [...slow, fast]) await c.subscribe('t', 'h');
  for (const c of slow) c.pause();
  let n = 0;
  const paused = () => s.hg.metric('headgate_paused');
  const more = async () => {
    for (let i = 0; i < 500; i++) s.db.commit('t', 'h', `${i % 20}`, { n: n++ }, { bytes: BYTES });
    await s.db.flush();
    return paused();
  };
  await waitFor(more, { ms: 60000, what: 'a pause' });
  assert.equal(await s.hg.metric('headgate_slow_clients'), 2);
  assert.equal((await (await fetch(`${s.hg.http}/health`)).json()).slowSockets, 2);
  for (const c of slow) c.terminate();
  await waitFor(async () => await paused() === 0, { what: 'the end of the pause' });
  assert.equal((await (await fetch(`${s.hg.http}/health`)).json()).slowSockets, 0);
  await fast.until(() => fast.sub('h').diffs.length === n, { ms: 60000, what: 'all diffs at the one that reads' });
  assert.deepEqual(faultsOf(s.db, 't', fast.sub('h'), { whole: true }), []);
});

test('queryFbB64 is read as leniently as Node does: URL alphabet, no padding, other bytes skipped', { timeout: 60000 }, async (t) => {
  const s = await stage(t, { options: { workers: 1 } });
  const control = await tail(t, s.kafka, s.topics.control);
  const c = s.keep(await Client.open(s.hg.url));
  // A limit that makes bytes which differ in the two alphabets.
  const bytes = queryInFlatBuffers(0xfbeffe);
  const text = bytes.toString('base64');
  assert.match(text, /[+/]/);
  for (const [i, form] of [text, bytes.toString('base64url'), text.replace(/=+$/, ''), text.replace(/.{20}/g, '$& \n*'), `${text}==ignored`].entries()) {
    await c.subscribe('t', `h${i}`, { queryFbB64: form, queryJson: undefined });
    assert.equal(s.db.calls.at(-1).limit, 0xfbeffe, form);
    const told = await waitFor(() => control.of(`demo_t|h${i}`)[0], { what: 'the query on the control topic' });
    assert.deepEqual(told.value, bytes, form);
  }
});

test('no consumer group is joined and nothing is committed, whatever KAFKA_GROUP says', { timeout: 60000 }, async (t) => {
  const group = `group-${process.pid}-${Date.now()}`;
  const s = await stage(t, { options: { workers: 2 }, env: { KAFKA_GROUP: group } });
  const c = s.keep(await Client.open(s.hg.url));
  await c.subscribe('t', 'h');
  await consumed(s, Array.from({ length: 20 }, (_, n) => ['t', 'h', 'x', { n }]));
  await c.until(() => c.binary === 20);
  const admin = s.db.kafka.admin();
  t.after(() => admin.disconnect());
  await admin.connect();
  assert.deepEqual((await admin.listGroups()).groups.map((g) => g.groupId).filter((id) => id === group || /ws-gateway/.test(id)), []);
  const offsets = await admin.fetchOffsets({ groupId: group, topics: [s.topics.diffs] });
  assert.deepEqual(offsets.flatMap((o) => o.partitions.map((p) => p.offset)).filter((o) => o !== '-1'), []);
});
