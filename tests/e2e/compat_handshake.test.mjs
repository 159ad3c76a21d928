// What clients of the former gateways rely on before and around their first message: paths, ports, subprotocols, identity headers,
// limits, the two shapes of an error, the order in which a message is looked at; in every profile.
// Not tested here: wrong requests (hostile_handshake), wrong fields (wrong_input), tokens (trust).
import test from 'node:test';
import assert from 'node:assert/strict';
import { Client } from '../support/client.mjs';
import { headgate, startHeadgate } from '../support/headgate.mjs';
import { exchange, upgrade } from '../support/http.mjs';
import { tempDir } from '../support/proc.mjs';
import { waitFor } from '../support/wait.mjs';

const PROFILES = ['auto', 'v1', 'v2', 'v3'];

/** A gateway without Kafka: /v1, /v2, /v3 speak the dialect of that name. */
async function scene(t, options = {}) {
  const hg = await startHeadgate({
    until: 'live', expectErrors: [/kafka/i],
    options: { workers: 1, kafka_brokers: '127.0.0.1:1', profile_paths: '/v1=v1,/v2=v2,/v3=v3', ...options },
  });
  const clients = [];
  t.after(async () => {
    for (const c of clients) c.terminate();
    await hg.stop();
  });
  const open = async (path = '', more = {}) => {
    const c = await Client.open(new URL(path, hg.url).href, more);
    clients.push(c);
    return c;
  };
  return { hg, open };
}

/** What came before the answer to a question behind the messages; greetings and comings and goings of others aside. */
async function heard(c, ...messages) {
  const from = c.messages.length;
  for (const m of messages) c.send(m);
  c.send({ op: 'leave', room: `behind ${from}` });
  const end = await c.message({ op: 'left', room: `behind ${from}` }, { from });
  return c.messages.slice(from, c.messages.indexOf(end)).filter((m) => !['welcome', 'user_joined', 'user_left'].includes(m.type));
}

test('any path opens, also with a query, and the welcome is the first frame; not in v1', { timeout: 60000 }, async (t) => {
  const s = await scene(t);
  for (const path of ['/', '/any', '/any/depth?token=x&y', '/%20ü'.normalize(), '/v2', '/v3/x']) {
    const c = await s.open(path);
    await c.ping();
    assert.equal(c.messages[0].type, 'welcome', path);
    assert.deepEqual(Object.keys(c.messages[0].data).slice(0, 2), ['connectionId', 'connectedClients'], path);
  }
  const v1 = await s.open('/v1/x');
  await v1.ping();
  assert.deepEqual(v1.messages, [{ op: 'pong' }]);
});

test('default ports: 7000, 8080 in profile v1; WS_PORT before TINA4_WS_PORT', { timeout: 60000 }, async () => {
  const cwd = tempDir('ports');
  const port = async (env) => /^port\s*=\s*"?(\d+)/m.exec((await headgate(['--print=effective'], { env, cwd })).stdout)[1];
  assert.equal(await port({}), '7000');
  assert.equal(await port({ HEADGATE_PROFILE: 'v1' }), '8080');
  assert.equal(await port({ TINA4_WS_PORT: '9001' }), '9001');
  assert.equal(await port({ WS_PORT: '9002', TINA4_WS_PORT: '9001' }), '9002');
});

test('B-1: an upgrade is answered by 101 and one subprotocol of those offered, a bearer token only when there is nothing else', { timeout: 60000 }, async (t) => {
  const s = await scene(t);
  for (const [offered, chosen] of [
    [undefined, undefined], ['json', 'json'], ['json, bearer.secret', 'json'], ['bearer.secret, json', 'json'], ['bearer.secret,chat', 'chat'],
    ['first, second', 'first'], ['bearer.secret', 'bearer.secret'],
  ]) {
    for (const path of ['/', '/v1', '/v2', '/v3']) {
      const a = await exchange(s.hg.url, upgrade({ path, headers: { 'Sec-WebSocket-Protocol': offered } }));
      assert.deepEqual([a.status, a.headers['sec-websocket-protocol']], [101, chosen], `${path} ${offered}`);
    }
  }
});

test('a client that offers json or bearer.* is one of v1 where nothing else says so', { timeout: 60000 }, async (t) => {
  const s = await scene(t);
  for (const [path, protocols, v1] of [['/', ['json'], true], ['/', ['bearer.tok'], true], ['/', ['json', 'bearer.tok'], true], ['/', ['chat'], false], ['/v3', ['json'], false]]) {
    const c = await s.open(path, { protocols });
    const [error] = await heard(c, '{');
    assert.equal(error.op === 'error', v1, `${path} ${protocols}`);
    assert.equal(c.messages[0].type === 'welcome', !v1);
  }
});

test('no compression is agreed upon', { timeout: 60000 }, async (t) => {
  const s = await scene(t);
  const a = await exchange(s.hg.url, upgrade({ headers: { 'Sec-WebSocket-Extensions': 'permessage-deflate; client_max_window_bits' } }));
  assert.deepEqual([a.status, a.headers['sec-websocket-extensions']], [101, undefined]);
});

test('auth = trust: x-tenant, then the user of bearer, x-user-id, x-user, anonymous, as the gateways had it', { timeout: 60000 }, async (t) => {
  const s = await scene(t, { auth: 'trust' });
  const userOf = async (headers, protocols = []) => {
    const c = await s.open('/v3', { headers, protocols });
    c.send({ type: 'broadcast', data: 1 });
    return (await c.message({ type: 'broadcast_message' })).data.from;
  };
  assert.equal(await userOf({}), 'anonymous');
  assert.equal(await userOf({ 'x-user': 'u' }), 'u');
  assert.equal(await userOf({ 'x-user': 'u', 'x-user-id': 'id' }), 'id');
  assert.equal(await userOf({ 'x-user-id': 'id' }, ['json', 'bearer.tok']), 'tok');
  // Who names no tenant is of demo, and hears what others of demo say, but nobody else's.
  const [none, demo, other] = [await s.open('/v3'), await s.open('/v3', { headers: { 'x-tenant': 'demo' } }), await s.open('/v3', { headers: { 'x-tenant': 'other' } })];
  none.send({ type: 'broadcast', data: 'to demo' });
  await demo.message((m) => m.type === 'broadcast_message' && m.data.message === 'to demo');
  assert.deepEqual((await heard(other)).filter((m) => m.type === 'broadcast_message'), []);
});

test('a connection that ends takes its subscriptions, rooms and place in the count with it', { timeout: 60000 }, async (t) => {
  const s = await scene(t, { attach_timeout: '5m' });
  const c = await s.open(), stays = await s.open();
  for (const x of [c, stays]) {
    x.send({ op: 'subscribe', table: 't', hashId: 'h', queryJson: '{}' });
    x.send({ op: 'join', room: 'r' });
    await x.message({ op: 'joined' });
  }
  const counts = async () => Promise.all(['headgate_connections', 'headgate_subscriptions'].map((name) => s.hg.metric(name)));
  await waitFor(async () => (await counts()).join() === '2,2', { what: async () => `two of each, not ${await counts()}` });
  await c.close(1000);
  assert.equal(c.closed.code, 1000, 'the close is answered with its own code');
  await waitFor(async () => (await counts()).join() === '1,1', { what: async () => `one of each, not ${await counts()}` });
  stays.terminate();
  await waitFor(async () => (await counts()).join() === '0,0', { what: async () => `none, not ${await counts()}` });
});

test('limits of the gateways: ping 25 s, idle 60 s, 1 MiB a message, 1 MiB of backlog, 1000 diffs, rpc 10 s, 500 rows', { timeout: 60000 }, async (t) => {
  const { stdout } = await headgate(['--print=effective'], { cwd: tempDir('limits') });
  const value = (name) => new RegExp(`^${name}\\s*=\\s*"?([^"#\\s]*)`, 'm').exec(stdout)?.[1];
  const names = ['ping_interval', 'idle_timeout', 'max_message', 'out_hard', 'out_frames', 'rpc_timeout', 'snapshot_limit', 'slow_socket_pause_threshold'];
  assert.deepEqual(names.map(value), ['25s', '1m', '1m', '1m', '1000', '10s', '500', '0']);
  const s = await scene(t);
  const c = await s.open();
  const longest = JSON.stringify({ op: 'ping', x: 'x'.repeat(1048576 - 20) });
  assert.deepEqual((await heard(c, longest.slice(0, -2) + 'x'.repeat(1048576 - longest.length) + '"}')), [{ op: 'pong' }]);
  c.send({ op: 'ping', x: 'x'.repeat(1048576) });
  await c.whenClosed();
  assert.equal(c.closed.code, 1009);
});

test('B-2: null, numbers, arrays and garbage are answered in every profile, and the process and the connection live', { timeout: 60000 }, async (t) => {
  const s = await scene(t);
  const pid = s.hg.workers()[0].pid;
  for (const profile of PROFILES) {
    const c = await s.open(profile === 'auto' ? '/' : `/${profile}`);
    for (const text of ['null', '0', '""', 'true', '[]', '[null]', '{}', '{"op":null}', '{"op":{}}', '{"type":null}', '{"type":null,"op":null}', '{"op":"nothing"}', '{"op":"subscribe"}', '{"op":"rpc","method":null}']) {
      const answers = await heard(c, text);
      assert.deepEqual(answers.map((m) => [m.op, m.code, m.message]), [['error', 'bad_op', 'unknown message']], `${profile}: ${text}`);
      assert.match(answers[0].detail, /^\w+: expected /, `${profile}: ${text}`);
    }
  }
  assert.deepEqual(s.hg.workers().map((w) => w.pid), [pid]);
});

test('bad JSON has the shape of the profile', { timeout: 60000 }, async (t) => {
  const s = await scene(t);
  for (const profile of PROFILES) {
    const c = await s.open(profile === 'auto' ? '/' : `/${profile}`);
    const [error] = await heard(c, '{"op":');
    if (profile === 'v1') {
      assert.deepEqual(error, { op: 'error', code: 'bad_json', message: 'invalid JSON' });
    } else {
      assert.ok(Math.abs(error.timestamp - Date.now()) < 60000);
      assert.deepEqual({ ...error, timestamp: 0 }, { type: 'error', data: { message: 'Invalid JSON message' }, timestamp: 0 }, profile);
    }
  }
});

test('order of dispatch: binary is ignored, a known type before the op, unknown fields mean nothing', { timeout: 60000 }, async (t) => {
  const s = await scene(t);
  for (const profile of PROFILES) {
    const c = await s.open(profile === 'auto' ? '/' : `/${profile}`);
    const kinds = async (...messages) => (await heard(c, ...messages)).map((m) => m.op ?? m.type);
    assert.deepEqual(await kinds(Buffer.from('{"op":"nothing"}'), Buffer.alloc(0), Buffer.from([0xff])), [], `${profile}: binary`);
    assert.deepEqual(await kinds({ type: 'echo', data: 1, op: 'ping' }), [profile === 'v1' ? 'pong' : 'echo_response'], `${profile}: both`);
    assert.deepEqual(await kinds({ type: 'unknown', op: 'ping' }), ['pong'], `${profile}: an unknown type falls through`);
    assert.deepEqual(await kinds({ op: 'ping', more: { of: ['it'] }, hashId: 5 }), ['pong'], `${profile}: unknown fields`);
    assert.deepEqual(await kinds({ op: 'unsubscribe', table: 't', hashId: 'never', x: null }), [], `${profile}: unsubscribe has no answer`);
  }
});
