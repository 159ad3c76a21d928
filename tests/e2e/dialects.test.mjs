// The dialects of the sources' gateways in one server (spec 1, 2, 3, 14): greeting, error shapes, order of dispatch, what each
// knows, who selects it (option, path, subprotocol), /health, snapshots of v1, and the defects B-1, B-2, B-5.
// Not tested here: bare keys (bare_keys), overflow and delayed diffs (compat_live), row events (row_events).
import test from 'node:test';
import assert from 'node:assert/strict';
import { Client } from '../support/client.mjs';
import { stage } from '../support/stage.mjs';
import { exchange, upgrade } from '../support/http.mjs';

const OPTIONS = { workers: 1, profile_paths: '/one=v1,/two=v2,/three=v3,/any=auto,/any/one=v1' };
const FB = Buffer.from('a query that no schema knows').toString('base64');
const BAD_OP = { op: 'error', code: 'bad_op', message: 'unknown message' };

const get = (path, method = 'GET') => `${method} ${path} HTTP/1.1\r\nHost: g\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`;

/** A client, and what each message is answered by: the frames until the pong that follows it. */
async function open(s, path, protocols) {
  const c = s.keep(await Client.open(new URL(path, s.hg.url).href, { protocols }));
  c.ask = async (message, pongs = 0) => {
    const from = c.messages.length;
    const answers = () => c.messages.slice(from).filter((m) => m.type !== 'user_joined' && m.type !== 'user_left');
    c.send(message);
    c.send({ op: 'ping' });
    await c.until(() => answers().filter((m) => m.op === 'pong').length > pongs, { what: `the answer to ${JSON.stringify(message)}` });
    return answers().slice(0, -1);
  };
  await c.ping();
  c.greeting = c.messages.slice(0, -1);
  return c;
}

const typed = (a) => { assert.equal(typeof a.timestamp, 'number'); return { type: a.type, data: a.data }; };

test('greeting, error shapes, order of dispatch and known ops of each dialect', { timeout: 120000 }, async (t) => {
  const s = await stage(t, { sql: false, options: OPTIONS });
  for (const [path, protocols, d] of [
    ['/', [], { welcome: true, typedErrors: true, typed: true, v3: true }],
    ['/one', [], { welcome: false, typedErrors: false, typed: false, v3: false }],
    ['/any/one', [], { welcome: false, typedErrors: false, typed: false, v3: false }], // the longest prefix
    ['/two', [], { welcome: true, typedErrors: true, typed: true, v3: false }],
    ['/three', [], { welcome: true, typedErrors: true, typed: true, v3: true }],
    ['/three', ['json', 'bearer.x'], { welcome: true, typedErrors: true, typed: true, v3: true }], // the path counts
    ['/', ['json'], { welcome: false, typedErrors: false, typed: false, v3: true }],
    ['/any', ['bearer.token'], { welcome: false, typedErrors: false, typed: false, v3: true }],
    ['/', ['headgate', 'bearer.token'], { welcome: true, typedErrors: true, typed: true, v3: true }], // who says so is none of v1
    ['/', ['something'], { welcome: true, typedErrors: true, typed: true, v3: true }],
    ['/three', ['headgate.v1', 'bearer.x'], { welcome: false, typedErrors: false, typed: false, v3: false }], // it says so itself
    ['/one', ['json', 'headgate.v2'], { welcome: true, typedErrors: true, typed: true, v3: false }],
    ['/one', ['headgate.auto'], { welcome: true, typedErrors: true, typed: true, v3: true }],
    ['/one', ['headgate.v4'], { welcome: false, typedErrors: false, typed: false, v3: false }], // no such
  ]) {
    const where = `${path} ${protocols}`;
    const c = await open(s, path, protocols);
    const greeting = c.greeting.filter((m) => !['user_joined', 'user_left'].includes(m.type)).map((m) => m.type);
    assert.deepEqual(greeting, d.welcome ? ['welcome'] : [], where);

    for (const text of ['', '{', 'no json', '{"op":"ping"', '\u0000']) {
      const [a] = await c.ask(text);
      if (d.typedErrors) assert.deepEqual(typed(a), { type: 'error', data: { message: 'Invalid JSON message' } }, where);
      else assert.deepEqual(a, { op: 'error', code: 'bad_json', message: 'invalid JSON' }, where);
    }

    const [pong] = await c.ask({ type: 'ping', op: 'subscribe', table: 't', hashId: 'h' });
    if (d.typed) assert.deepEqual(typed(pong), { type: 'pong', data: undefined }, `${where}: a known type beats the op`);
    else assert.equal(pong.code, 'bad_op', `${where}: the op counts, and lacks its query`);
    const [echo] = await c.ask({ type: 'echo', data: { a: [1] } });
    if (d.typed) assert.deepEqual(typed(echo), { type: 'echo_response', data: { a: [1] } }, where);
    else assert.deepEqual({ ...echo, detail: undefined }, { ...BAD_OP, detail: undefined }, where);
    assert.deepEqual(await c.ask({ type: 'none', op: 'ping' }, 1), [{ op: 'pong' }], `${where}: an unknown type falls through`);
    assert.deepEqual(await c.ask({ type: 5, op: 'ping' }, 1), [{ op: 'pong' }], where);
    assert.deepEqual(await c.ask({ op: 'ping', extra: { a: 1 } }, 1), [{ op: 'pong' }], where);

    const [rpc] = await c.ask({ op: 'rpc', method: 'NO_SUCH', correlationId: 'c' });
    assert.equal(d.v3 ? rpc.op : rpc.code, d.v3 ? 'rpcResult' : 'bad_op', where);
    if (!d.v3) {
      const [a] = await c.ask({ op: 'subscribe', table: 't', hashId: 'h', queryJson: '{}' });
      assert.deepEqual({ ...a, detail: undefined }, { ...BAD_OP, hashId: 'h', detail: undefined }, where);
      assert.match(a.detail, /^queryFbB64: expected/);
    }
    assert.deepEqual(await c.ask(Buffer.from('{"op":"ping"}')), [], `${where}: binary frames are ignored`);
    assert.deepEqual(await c.ask({ op: 'unsubscribe', table: 't', hashId: 'never was' }), [], where);
  }
});

test('v1 and v2 know a subscription by its hashId alone, and nothing of queryJson', { timeout: 60000 }, async (t) => {
  const s = await stage(t, { database: { bare: true }, options: (topics) => ({ ...OPTIONS, kafka_topics: `${topics.diffs}:bare,${topics.rows}:row` }) });
  const commit = async (n) => {
    s.db.commit('one', 'h', 'x', { n });
    await s.db.flush();
  };
  const witness = await open(s, '/two');
  const query = { queryJson: undefined, queryFbB64: FB };
  await witness.subscribe('one', 'h', query);
  for (const path of ['/one', '/two']) {
    const c = await open(s, path);
    await c.subscribe('one', 'h', query);
    await c.subscribe('two', 'h', { ...query, queryJson: {} }); // takes the place of the first
    await commit(path);
    await c.until(() => c.binary === 1);
    await commit('again');
    await c.until(() => c.sub('h').diffs.at(-1).data.row.n === 'again');
    assert.equal(c.binary, 2, `${path}: each once`);
    c.unsubscribe('none of them', 'h');
    await c.ping();
    await commit(`${path} is gone`);
    await witness.until(() => witness.sub('h').diffs.at(-1)?.data.row.n === `${path} is gone`);
    await c.ping();
    assert.equal(c.binary, 2, path);
  }
  // v3 has the table in its keys, and queryJson.
  const c = await open(s, '/three');
  for (const table of ['one', 'two']) await c.subscribe(table, 'h');
  assert.equal(await s.hg.metric('headgate_subscriptions'), 3);
  c.unsubscribe('none of them', 'h');
  await c.ping();
  assert.equal(await s.hg.metric('headgate_subscriptions'), 3);
  assert.match((await c.ask({ op: 'subscribe', table: 't', hashId: 'h', queryJson: {}, queryFbB64: FB }))[0].detail, /^queryJson: expected/);
});

test('B-2: null, arrays, numbers, garbage and deep nesting are answered, the connection and its worker stay', { timeout: 120000 }, async (t) => {
  const s = await stage(t, { sql: false, options: OPTIONS });
  const pids = s.hg.workers().map((w) => w.pid);
  const deep = (n, open, close) => open.repeat(n) + close.repeat(n);
  for (const path of ['/', '/one', '/two', '/three']) {
    const c = await open(s, path);
    for (const text of [
      'null', 'true', '0', '-1e999', '"op"', '[]', '[null]', '[{"op":"ping"}]', '{}', '{"op":null}', '{"op":{}}', '{"op":["ping"]}', '{"type":null}',
      '{"type":{}}', '{"op":"constructor"}', '{"op":"__proto__"}', '{"__proto__":{"op":"ping"}}', '{"op":"subscribe"}', '{"op":"subscribe","table":null,"hashId":null}',
      `{"op":${deep(20, '[', ']')}}`, deep(200, '[', ']'), deep(5000, '[', ']'), `{"op":"x","a":${deep(3000, '{"a":', '}').replace('}', 'null}')}}`,
      '{"op":"\\ud800"}', '{"op":"ping\\u0000"}', '{"OP":"ping"}',
    ]) {
      const [a] = await c.ask(text);
      assert.deepEqual([a.op, a.code, a.message], ['error', 'bad_op', 'unknown message'], `${path} ${text.slice(0, 60)}`);
    }
    for (const text of ['nul', 'NaN', "{'op':'ping'}", '{"op":"ping"}{}', '﻿{"op":"ping"}']) {
      const [a] = await c.ask(text);
      assert.equal(a.code ?? a.data.message, path === '/one' ? 'bad_json' : 'Invalid JSON message', `${path} ${text.slice(0, 60)}`);
    }
  }
  assert.deepEqual(s.hg.workers().map((w) => w.pid), pids, 'no worker died of it');
});

test('B-1: 101 with at most one subprotocol, one that was offered, and never a token if there is another', { timeout: 60000 }, async (t) => {
  const s = await stage(t, { sql: false, options: OPTIONS });
  for (const path of ['/', '/one', '/two', '/three']) {
    for (const [offer, echoed] of [
      [undefined, undefined], ['json', 'json'], ['bearer.secret, json', 'json'], ['json, bearer.secret', 'json'], ['graphql', 'graphql'],
      ['bearer.secret, v2, json', 'v2'], ['json, bearer.secret, headgate.v3', 'headgate.v3'], ['json, headgate.v4', 'json'], ['headgate, headgate.v2', 'headgate.v2'], ['bearer.secret', 'bearer.secret'], [['bearer.secret', 'json'], 'json'],
    ]) {
      const a = await exchange(s.hg.url, upgrade({ path, headers: { 'Sec-WebSocket-Protocol': offer } }), { head: true });
      assert.equal(a.status, 101, `${path} ${offer}`);
      assert.equal(a.headers['sec-websocket-protocol'], echoed, `${path} ${offer}`);
    }
  }
});

test('HEADGATE_PROFILE is the dialect of who is told by nothing else; /health is unknown to v1', { timeout: 120000 }, async (t) => {
  for (const [profile, welcome, health] of [['v1', false, false], ['v2', true, true], ['v3', true, true], ['auto', true, true]]) {
    const s = await stage(t, { sql: false, options: { workers: 1 }, env: { HEADGATE_PROFILE: profile } });
    assert.equal((await open(s, '/ws')).greeting.some((m) => m.type === 'welcome'), welcome && profile !== 'auto', `${profile} at /ws`);
    assert.equal((await open(s, '/')).greeting.some((m) => m.type === 'welcome'), welcome, profile);
    assert.equal((await open(s, '/', ['json'])).greeting.some((m) => m.type === 'welcome'), welcome && profile !== 'auto', `${profile}, json`);
    const a = await exchange(s.hg.url, get('/health'));
    assert.equal(a.status, 200);
    if (health) assert.deepEqual(Object.keys(JSON.parse(a.body)).slice(0, 5), ['status', 'connections', 'sessions', 'uptime', 'slowSockets']);
    else assert.equal(a.body, 'cladbe-ws-gateway');
    for (const [path, method] of [['/health', 'POST'], ['/health/x', 'GET'], ['/', 'DELETE'], ['/x?y', 'GET']]) {
      assert.equal((await exchange(s.hg.url, get(path, method))).body, 'cladbe-ws-gateway', `${profile} ${method} ${path}`);
    }
  }
});

test('user ids: anonymous, x-user, and x-user-id before it', { timeout: 60000 }, async (t) => {
  const s = await stage(t, { sql: false, options: { ...OPTIONS, auth: 'trust', typed_presence: 'yes', log_level: 'debug' } });
  for (const [path, headers, user] of [['/', {}, 'anonymous'], ['/two', {}, 'anonymous'], ['/three', { 'x-user': 'u' }, 'u'], ['/three', { 'x-user': 'u', 'x-user-id': 'i' }, 'i']]) {
    const c = s.keep(await Client.open(new URL(path, s.hg.url).href, { headers }));
    c.send({ type: 'broadcast', data: 1 });
    assert.equal((await c.message({ type: 'broadcast_message' })).data.from, user, path);
    c.terminate();
  }
});

test('v1 without a SQL worker: ack, then a snapshot without rows at once, then diffs', { timeout: 60000 }, async (t) => {
  const s = await stage(t, { sql: false, options: OPTIONS });
  const before = s.db.commit('orders', 'q', 'x', {});
  await s.db.flush();
  const c = await open(s, '/one');
  const three = await open(s, '/three');
  const snapshot = await c.subscribe('orders', 'q', { queryJson: undefined, queryFbB64: FB, resumeFromVersion: Number(before.lsn) + 1 });
  const of = c.messages.filter((m) => m.hashId === 'q');
  assert.deepEqual(of, [{ op: 'ack', hashId: 'q' }, { op: 'snapshot', hashId: 'q', version: 0, cursor: { lsn: String(before.lsn + 1n) }, rows: [] }]);
  for (let n = 0; n < 10; n++) s.db.commit('orders', 'q', 'x', { n });
  await s.db.flush();
  await c.until(() => c.sub('q').diffs.length === 9, { what: 'the diffs above the fence' });
  assert.deepEqual(c.sub('q').diffs.map((d) => d.lsn), s.db.lsnsAfter('orders', 'q', snapshot.lsn));
  assert.equal(three.messages.filter((m) => m.op === 'snapshot').length, 0);
});

test('B-5: v2 as it was meant: GET_DATA with limit 500 for a query nobody can read, diffs after the fence, no query told', { timeout: 60000 }, async (t) => {
  const s = await stage(t, { options: OPTIONS });
  for (let i = 0; i < 3; i++) s.db.commit('orders', 'q', String(i), { i });
  await s.db.flush();
  const c = await open(s, '/two');
  const snapshot = await c.subscribe('orders', 'q', { queryJson: undefined, queryFbB64: FB });
  assert.equal(snapshot.rows.length, 3);
  const [call] = s.db.calls;
  assert.deepEqual([call.method, call.companyId, call.tableName, call.limit, call.wrapper ?? null], ['GET_DATA', 'demo', 'orders', 500, null]);
  for (let n = 0; n < 10; n++) s.db.commit('orders', 'q', 'x', { n }); // the first LSN header stopped the source
  await s.db.flush();
  await c.until(() => c.sub('q').diffs.length === 10);
  const admin = s.db.kafka.admin();
  await admin.connect();
  const told = await admin.fetchTopicOffsets(s.topics.control);
  await admin.disconnect();
  assert.deepEqual(told.map((p) => p.high), ['0'], 'the control topic came with v3');
});
