// One live query as a client sees it (spec 3): order of ack, snapshot and diffs, both LSN encodings, raw and tagged frames,
// errors in words and codes, sharing of one SQL call, resumeFromVersion, row events, the query handed to the SQL worker and
// to the control topic.
// Not tested here: load and races (fan_out, subscribe_race), bad records (odd_records).
import test from 'node:test';
import assert from 'node:assert/strict';
import { Client } from '../support/client.mjs';
import { faultsOf, lsnHeader } from '../support/database.mjs';
import { decodeQuery } from '../support/sqlwire.mjs';
import { stage } from '../support/stage.mjs';
import { waitFor } from '../support/wait.mjs';

const subscribe = (more) => ({ op: 'subscribe', table: 'orders', hashId: 'q', queryJson: '{}', ...more });

test('welcome, ping, subscribe, diffs in both encodings, unsubscribe', { timeout: 60000 }, async (t) => {
  const s = await stage(t, { options: { workers: 2 } });
  for (let i = 0; i < 3; i++) s.db.commit('orders', 'q', String(i), { i });
  await s.db.flush();
  const c = s.keep(await Client.open(s.hg.url));
  const welcome = await c.until(() => c.messages[0], { what: 'the first frame' });
  assert.equal(welcome.type, 'welcome');
  assert.match(welcome.data.connectionId, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.equal(welcome.data.connectedClients, 1);
  assert.ok(Math.abs(welcome.timestamp - Date.now()) < 60000);
  c.send({ op: 'ping', extra: 1 });
  assert.deepEqual(await c.message({ op: 'pong' }), { op: 'pong' });

  const snapshot = await c.subscribe('orders', 'q');
  const i = c.messages.findIndex((m) => m.op === 'ack');
  assert.deepEqual(c.messages[i], { op: 'ack', hashId: 'q' });
  assert.equal(c.messages[i + 1].op, 'snapshot');
  assert.equal(snapshot.version, 0);
  assert.match(snapshot.cursor.lsn, /^\d+$/);
  assert.deepEqual(snapshot.rows.map((r) => r.i).sort(), [0, 1, 2]);

  for (let n = 0; n < 20; n++) s.db.commit('orders', 'q', 'x', { n }); // odd LSNs as text, even ones as 8 bytes
  s.db.commit('orders', 'other', 'x', {});
  await s.db.flush();
  // Diffs that the snapshot holds already may come again, if they were not read yet when it was asked for.
  await c.until(() => c.sub('q').diffs.at(-1)?.lsn === s.db.lsnsAfter('orders', 'q', 0n).at(-1), { what: 'the last of 20 diffs' });
  await c.ping();
  assert.deepEqual(faultsOf(s.db, 'orders', c.sub('q'), { whole: true }), []);
  assert.ok(!c.subs.has('other'));

  c.unsubscribe('orders', 'q');
  c.unsubscribe('orders', 'never was');
  await c.ping();
  const heard = c.binary;
  s.db.commit('orders', 'q', 'x', {});
  await s.db.flush();
  const watcher = s.keep(await Client.open(s.hg.url));
  await watcher.subscribe('orders', 'q');
  s.db.commit('orders', 'q', 'x', {});
  await s.db.flush();
  await watcher.until(() => watcher.binary === 1);
  await c.ping();
  assert.equal(c.binary, heard, 'nothing after unsubscribe');
});

test('tagged frames carry LSN, offset and the ack\'s sub', { timeout: 60000 }, async (t) => {
  const s = await stage(t, { partitions: 1, options: { workers: 1 } });
  const c = s.keep(await Client.open(s.hg.url));
  const frames = [];
  c.rawBinary = (b) => frames.push(b);
  await c.subscribe('orders', 'q', { frame: 'tagged' });
  const { sub } = await c.message({ op: 'ack' });
  assert.equal(typeof sub, 'number');
  const entries = [0, 1, 2].map((n) => s.db.commit('orders', 'q', 'x', { n }));
  await s.db.flush();
  await c.until(() => frames.length === 3);
  for (const [i, f] of frames.entries()) {
    assert.deepEqual([f[0], f[1], f.readUInt16BE(2), f.readUInt32BE(4)], [1, 0, 0, sub]);
    assert.equal(f.readBigUInt64BE(8), entries[i].lsn);
    assert.equal(f.readBigUInt64BE(16), BigInt(i));
    assert.equal(JSON.parse(f.subarray(24)).lsn, String(entries[i].lsn));
  }
});

test('what is wrong with a message is said, and the connection stays', { timeout: 60000 }, async (t) => {
  const s = await stage(t, { options: { workers: 1 } });
  const c = s.keep(await Client.open(s.hg.url));
  await c.message({ type: 'welcome' });
  const errors = () => c.messages.filter((m) => m.op === 'error' || m.type === 'error');
  const wrong = async (message, expected) => {
    const before = errors().length;
    c.send(message);
    await c.until(() => errors().length > before, { what: `an error for ${JSON.stringify(message)}` });
    const e = errors()[before];
    for (const [k, v] of Object.entries(expected)) v instanceof RegExp ? assert.match(String(e[k]), v, JSON.stringify(e)) : assert.deepEqual(e[k], v, JSON.stringify(message));
  };
  const badOp = { op: 'error', code: 'bad_op', message: 'unknown message' };
  await wrong('{', { type: 'error', data: { message: 'Invalid JSON message' } });
  for (const text of ['null', '5', '"x"', '[]', '{}', '{"op":"none"}', '{"op":5}', '{"op":"SUBSCRIBE"}']) await wrong(text, badOp);
  for (const [field, values] of [
    ['table', [undefined, '', 5, null, {}, ['a']]],
    ['hashId', [undefined, '', 5, null, true]],
    ['queryJson', [undefined, '', 5, {}, null]],
    ['queryFbB64', ['', 5]],
    ['resumeFromVersion', [-1, 1.5, 'x', null, '-1', '1.5', {}]],
    ['frame', ['other', 1]],
  ]) {
    for (const value of values) await wrong(subscribe({ [field]: value }), { ...badOp, detail: new RegExp(field === 'queryJson' && value === undefined ? 'query' : field) });
  }
  await wrong({ op: 'unsubscribe', table: 'orders' }, { ...badOp, detail: /hashId/ });
  await wrong({ op: 'rpc', method: 'X', correlationId: 5 }, { ...badOp, detail: /correlationId/ });
  await wrong(subscribe({ table: 'a|b' }), { op: 'error', code: 'bad_op', hashId: 'q' });
  await wrong(subscribe({ queryJson: 'no json' }), { op: 'error', code: 'bad_query', hashId: 'q' });
  await wrong(subscribe({ queryJson: '{"wrapper":{"filter_wrapper_type":"and","filters":[{"field_name":"a","filter_type":"regx","value":{"StringValue":{"value":"x"}}}]}}' }),
    { op: 'error', code: 'bad_query', hashId: 'q' });
  await wrong({ op: 'join' }, badOp);
  await wrong({ op: 'publish', room: 'r' }, badOp);
  c.send(Buffer.from('binary is ignored'));
  await c.ping();
  assert.equal(s.db.calls.length, 0, 'none of it reached the SQL worker');
  assert.equal(c.messages.filter((m) => m.op === 'ack').length, 0, 'none was acknowledged');
});

test('the query reaches the SQL worker and the control topic as it was meant', { timeout: 60000 }, async (t) => {
  const s = await stage(t, { options: { workers: 1 } });
  const control = s.db.kafka.consumer({ groupId: `control-${s.topics.tag}`, maxWaitTimeInMs: 100 });
  const told = [];
  t.after(() => control.disconnect());
  await control.connect();
  await control.subscribe({ topic: s.topics.control, fromBeginning: true });
  await control.run({ eachMessage: async ({ message }) => { told.push({ key: message.key.toString(), value: message.value }); } });
  const c = s.keep(await Client.open(s.hg.url));
  const queryJson = JSON.stringify({
    hash: 'q', limit: 7, order: [{ field: 'id', sort: 'ASC_DEFAULT', is_pk: true }],
    wrapper: {
      filter_wrapper_type: 'and',
      filters: [
        { field_name: 'state', filter_type: 'equals', value: { StringValue: { value: 'open' } } },
        { filter_wrapper_type: 'or', filters: [{ field_name: 'n', filter_type: 'greaterThan', value: { Int64Value: { value: '9007199254740993' } } }] },
      ],
    },
  });
  await c.subscribe('orders', 'q', { queryJson });
  const call = s.db.calls[0];
  assert.equal(call.method, 'GET_DATA');
  assert.deepEqual([call.companyId, call.tableName, call.limit], ['demo', 'orders', 7]);
  assert.deepEqual(call.wrapper, {
    kind: 'and',
    filters: [{ field: 'state', value: 'open', type: 0 }, { kind: 'or', filters: [{ field: 'n', value: 9007199254740993n, type: 4 }] }],
  });
  assert.deepEqual(call.order, [{ field: 'id', sort: 0 }]);
  await waitFor(() => told.length, { what: 'a record on the control topic' });
  assert.equal(told[0].key, 'demo_orders|q');
  const query = decodeQuery(told[0].value);
  assert.deepEqual([query.hash, query.limit, query.wrapper.kind], ['q', 7, 'and']);
});

test('many subscribers of one stream share one SQL call', { timeout: 60000 }, async (t) => {
  const s = await stage(t, { sql: { delayMs: 300 }, options: { workers: 1 } });
  const clients = s.keep(await Promise.all(Array.from({ length: 30 }, () => Client.open(s.hg.url))));
  await Promise.all(clients.map((c) => c.subscribe('orders', 'q')));
  assert.equal(s.db.calls.length, 1);
});

test('who leaves queries while their calls are under way may have so many of them; nobody else is held up', { timeout: 60000 }, async (t) => {
  let silent = true;
  const s = await stage(t, { sql: { fail: (r) => (silent && r.tableName === 'left' ? 'silent' : undefined) }, options: { workers: 1, max_subscriptions: 10, rpc_timeout: '2s' } });
  const c = s.keep(await Client.open(s.hg.url)), other = s.keep(await Client.open(s.hg.url));
  for (let i = 0; i < 1000; i++) {
    c.send({ op: 'subscribe', table: 'left', hashId: `h${i}`, queryJson: '{}' });
    c.unsubscribe('left', `h${i}`);
  }
  await c.ping();
  const refused = c.messages.filter((m) => m.op === 'error');
  assert.equal(c.messages.filter((m) => m.op === 'ack').length, 20, 'twice max_subscriptions');
  assert.deepEqual([refused.length, refused[0].code, refused[0].hashId, refused[0].detail], [980, 'too_many', 'h20', 'too many snapshots under way (max_subscriptions)']);
  await other.subscribe('t', 'h');
  silent = false;
  await waitFor(async () => (await s.hg.metric('headgate_rpc_inflight')) === 0, { what: 'the end of the calls' });
  for (let i = 0; i < 10; i++) await c.subscribe('t', `h${i}`);
  assert.equal(s.db.calls.filter((r) => r.tableName === 'left').length >= 20, true);
});

test('resumeFromVersion above the watermark holds back what is known already', { timeout: 60000 }, async (t) => {
  const s = await stage(t, { options: { workers: 1 } });
  const first = s.db.commit('orders', 'q', 'x', { n: 0 });
  await s.db.flush();
  const c = s.keep(await Client.open(s.hg.url));
  const snapshot = await c.subscribe('orders', 'q', { resumeFromVersion: String(first.lsn + 5n) });
  assert.equal(snapshot.lsn, first.lsn + 5n);
  for (let n = 0; n < 10; n++) s.db.commit('orders', 'q', 'x', { n });
  await s.db.flush();
  await c.until(() => c.sub('q').diffs.length === 5);
  await c.ping();
  assert.equal(c.sub('q').diffs[0].lsn, first.lsn + 6n);
  assert.equal(c.binary, 5);
});

test("an operator that the SQL worker refuses with BAD_REQUEST is snapshot_failed with the worker's text", { timeout: 60000 }, async (t) => {
  const text = 'contains: title: operator not supported by this worker';
  let refuse = true;
  const s = await stage(t, { sql: { reply: () => (refuse ? { ok: false, errorCode: 1, errorMessage: text } : undefined) }, options: { workers: 1 } });
  const [c, other] = s.keep(await Promise.all([Client.open(s.hg.url), Client.open(s.hg.url)]));
  const queryJson = JSON.stringify({ wrapper: { filter_wrapper_type: 'and', filters: [{ field_name: 'title', filter_type: 'contains', value: { StringValue: { value: 'k' } } }] } });
  const before = s.db.calls.length;
  c.send({ op: 'subscribe', table: 't', hashId: 'h', queryJson });
  assert.deepEqual(await c.message({ op: 'error' }), { op: 'error', code: 'snapshot_failed', message: text, hashId: 'h' });
  assert.equal(s.db.calls.length, before + 1, 'a refusal is not asked for again');
  assert.equal(s.db.calls.at(-1).wrapper.filters[0].type, 12, 'the operator was passed on');
  // The subscription is over; the next one works, and nobody else noticed.
  refuse = false;
  for (const who of [c, other]) await who.subscribe('t', 'h');
  s.db.commit('t', 'h', 'r', { n: 1 });
  await s.db.flush();
  for (const who of [c, other]) await who.until(() => who.binary === 1, { what: 'the diff' });
  assert.equal(c.messages.filter((m) => m.op === 'error').length, 1);
});

test('B-8: what the SQL worker could not do once is asked again, with the same query; no data at all are no rows', { timeout: 60000 }, async (t) => {
  let reply = (calls) => (calls === 1 ? { ok: false, errorCode: 2, errorMessage: 'deadlock detected' } : {});
  const s = await stage(t, { sql: { reply: () => reply(s.db.calls.length) }, options: { workers: 1 } });
  const c = s.keep(await Client.open(s.hg.url));
  const queryJson = JSON.stringify({ limit: 7 });
  assert.deepEqual((await c.subscribe('t', 'h', { queryJson })).rows, []);
  assert.deepEqual(s.db.calls.map((r) => r.limit), [7, 7]);
  reply = () => ({ ok: false, errorMessage: 'no luck today' });
  await assert.rejects(c.subscribe('t', 'h2', { queryJson }), /snapshot_failed: no luck today/);
  assert.equal(s.db.calls.length, 4, 'once more, and no more than that');
});

test('SQL calls that fail, stay silent or answer nonsense: snapshot_failed with hashId, and the next subscribe works', { timeout: 60000 }, async (t) => {
  let fail;
  const s = await stage(t, { sql: { fail: () => fail }, options: { workers: 1, rpc_timeout: '1s' }, expectErrors: [/rpc/i] });
  const c = s.keep(await Client.open(s.hg.url));
  for (fail of ['no such table', 'malformed', 'silent']) {
    c.send(subscribe({}));
    const errors = c.sub('q').errors;
    const before = errors.length;
    await c.until(() => errors.length > before, { what: `snapshot_failed (${fail})` });
    assert.equal(errors.at(-1).code, 'snapshot_failed');
    if (fail === 'no such table') assert.match(errors.at(-1).message, /no such table/);
  }
  const { url } = s.hg;
  fail = undefined;
  await c.subscribe('orders', 'q');
  s.db.commit('orders', 'q', 'x', {});
  await s.db.flush();
  await c.until(() => c.binary === 1);
  s.keep(await Client.open(url));
});

test('a reply that is too large is a failed snapshot, not a closed connection', { timeout: 60000 }, async (t) => {
  const s = await stage(t, { sql: { pad: 'x'.repeat(30000) }, options: { workers: 1, max_snapshot: '64k' } });
  for (let i = 0; i < 10; i++) s.db.commit('orders', 'q', String(i), {});
  await s.db.flush();
  const c = s.keep(await Client.open(s.hg.url));
  await assert.rejects(c.subscribe('orders', 'q'), /snapshot_failed.*large/);
  await c.ping();
});

test('B-10: row events reach the subscribers of their routingKey, after the snapshot', { timeout: 60000 }, async (t) => {
  const s = await stage(t, { sql: { delayMs: 500 }, options: { workers: 2 } });
  const c = s.keep(await Client.open(s.hg.url));
  const subscribed = c.subscribe('orders', 'q');
  await c.message({ op: 'ack' });
  const event = { routingKey: 'demo_orders|q', hashId: 'q', lsn: '77', kind: 'added', pk: '9', row: { id: '9' } };
  const rows = (value, lsn) => s.db.producer.send({ topic: s.topics.rows, messages: [{ key: 'any', value, headers: lsn && { lsn: lsnHeader(lsn, 'text') } }] });
  await rows(JSON.stringify(event), 77n);
  await rows('no json', 78n);
  await rows(JSON.stringify({ ...event, routingKey: 'demo_orders|none' }), 79n);
  await rows(JSON.stringify({ ...event, pk: '10' }), undefined);
  const deep = { id: '11', tree: JSON.parse('['.repeat(200) + ']'.repeat(200)) };
  await rows(JSON.stringify({ ...event, pk: '11', row: deep }), undefined);
  await subscribed;
  await c.until(() => c.sub('q').events.length === 3);
  await c.ping();
  assert.deepEqual(c.sub('q').events, [
    { op: 'rowEvent', hashId: 'q', event, version: 77 },
    { op: 'rowEvent', hashId: 'q', event: { ...event, pk: '10' }, version: 0 },
    { op: 'rowEvent', hashId: 'q', event: { ...event, pk: '11', row: deep }, version: 0 },
  ]);
  const order = c.messages.map((m) => m.op).filter(Boolean);
  assert.ok(order.indexOf('snapshot') < order.indexOf('rowEvent'));
});

test('rpc UPDATE_SINGLE answers and its change comes back as a diff', { timeout: 60000 }, async (t) => {
  const s = await stage(t, { sql: { hashOf: () => 'q' }, options: { workers: 2 } });
  s.db.commit('orders', 'q', '1', { state: 'open' });
  await s.db.flush();
  const c = s.keep(await Client.open(s.hg.url)), other = s.keep(await Client.open(s.hg.url));
  await c.subscribe('orders', 'q');
  await other.subscribe('orders', 'q');
  c.send({ op: 'rpc', method: 'UPDATE_SINGLE', table: 'orders', correlationId: 'c1', payload: { primaryKeyColumn: 'id', primaryId: 1, updates: { state: 'done' } } });
  const result = await c.message({ op: 'rpcResult' });
  assert.deepEqual(result, { op: 'rpcResult', method: 'UPDATE_SINGLE', correlationId: 'c1', ok: true, data: true });
  for (const x of [c, other]) {
    // Rows that name no position may be followed by a diff that they contain already: look at the last one.
    await x.until(() => x.sub('q').diffs.at(-1)?.data.row.state === 'done', { what: 'the diff of the call' });
  }
  const call = s.db.calls.find((r) => r.method === 'UPDATE_SINGLE');
  assert.deepEqual([call.companyId, call.tableName, call.primaryKeyColumn, call.primaryId, JSON.parse(call.updates)], ['demo', 'orders', 'id', '1', { state: 'done' }]);
  c.send({ op: 'rpc', method: 'NO_SUCH', correlationId: 'c2' });
  assert.deepEqual(await c.message({ correlationId: 'c2' }), { op: 'rpcResult', method: 'NO_SUCH', correlationId: 'c2', ok: false, error: 'Unknown RPC method: NO_SUCH' });
  c.send({ op: 'rpc', method: 'UPDATE_SINGLE', table: 'orders', companyId: 'acme', correlationId: 'c3', payload: { primaryId: 1, updates: {} } });
  assert.equal((await c.message({ correlationId: 'c3' })).ok, false, 'another tenant\'s table');
});
