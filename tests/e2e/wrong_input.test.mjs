// Wrong input: every field of every op (the rows of proto/op.def, as --print=ops-json gives them, so that a new op is covered by
// being listed), every typed and channel message, every field of POST /publish, every path of both ports: missing, of each other
// JSON type, empty, huge, nested deeply, with a lone surrogate, not UTF-8. Each is answered with its code and the field's name,
// the connection lives, and a bystander of another tenant on the same worker hears nothing of it.
// Not tested here: frames (hostile_frames), requests that are no HTTP (hostile_handshake), tokens of POST /publish (channels).
import test from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { bystander } from '../support/bystander.mjs';
import { Client } from '../support/client.mjs';
import { headgate, startHeadgate } from '../support/headgate.mjs';
import { TEXT, exchange, frame, rawWebSocket } from '../support/http.mjs';
import { root } from '../support/proc.mjs';

const TOKEN = 'a token of the tests';
const { ops, typed } = JSON.parse((await headgate(['--print=ops-json'])).stdout);

// What of JSON a field of a type takes. Everything else is refused in the field's name.
const text = (v) => typeof v === 'string';
const name = (v) => text(v) && v !== '';
const takes = {
  NAME: name,
  TEXT: text,
  B64: (v) => text(v) && /^[\w+/-]*$/.test(v) && v.length % 4 !== 1,
  COUNT: (v) => (Number.isInteger(v) && v >= 0 && v < 2 ** 64) || (text(v) && /^\d{1,19}$/.test(v)),
  FLAG: (v) => typeof v === 'boolean',
  CHOICE: (v, field) => field.words.split('|').includes(v),
  RAW: () => true,
  IDS: (v) => name(v) || (Array.isArray(v) && v.every(name)),
};
const samples = { NAME: 'x', TEXT: 'x', B64: 'eA==', COUNT: 1, FLAG: true, CHOICE: undefined, RAW: {}, IDS: 'x' };
// Rules between fields: what a message needs besides its required fields to be a good one.
const besides = { subscribe: { queryJson: '{}' }, publish: { room: 'r', text: 'x' }, sendTo: { text: 'x' } };
const rules = {
  subscribe: [[{ table: 't', hashId: 'h' }, /^queryFbB64: expected this or queryJson/]],
  sendTo: [[{ id: 'i' }, /^text: expected this or b64/], [{ id: 'i', text: 'x', b64: '' }, /^b64: expected no b64/]],
  publish: [[{ room: 'r' }, /^text: expected this or b64/], [{}, /^text: /], [{ room: 'r', text: 'x', b64: '' }, /^b64: expected no b64/], [{ room: 'r', path: '/', text: '' }, /^path: expected no path/]],
};

const small = [null, true, false, 0, -1, 1.5, 1e300, '', 'x', '7', '-7', '1.5', [], [''], ['x'], [5], [[]], {}, { x: 1 }];
const HUGE = 300000;
const huge = ['h'.repeat(HUGE), Array(20000).fill(0), Array(300).fill('x'), Object.fromEntries(Array.from({ length: 20000 }, (_, i) => [`k${i}`, i]))];
const DEEP = '['.repeat(300) + ']'.repeat(300);
const MANY = `[${'0,'.repeat(66000)}0]`;
const SURROGATE = '"a\\ud800b"';

const short = (v) => (typeof v === 'string' ? v : JSON.stringify(v)).slice(0, 100);
/** An object's text with one more member, given as text. */
const withRaw = (message, field, raw) => `${JSON.stringify(message).slice(0, -1)}${Object.keys(message).length ? ',' : ''}${JSON.stringify(field)}:${raw}}`;
const without = (message, field) => Object.fromEntries(Object.entries(message).filter(([k]) => k !== field));

const good = (op) => ({
  op: op.op, ...Object.fromEntries(op.fields.filter((f) => f.required).map((f) => [f.name, samples[f.type]])), ...besides[op.op],
});

/** [text of a message, detail it is refused with or undefined when it is an op's own affair] */
function* variants(op) {
  const base = good(op), tooDeep = /^message: expected at most 256 levels/;
  for (const f of op.fields) {
    assert.ok(f.type in takes, `${op.op}.${f.name} is of type ${f.type}: say here what it takes`);
    const others = without(base, f.name), refused = `${f.name}: expected ${f.expected}`;
    if (f.required) yield [JSON.stringify(others), refused];
    else yield [JSON.stringify(others)];
    for (const v of [...small, ...huge]) yield [JSON.stringify({ ...others, [f.name]: v }), takes[f.type](v, f) ? undefined : refused];
    yield [withRaw(others, f.name, DEEP), tooDeep];
    yield [withRaw(others, f.name, MANY), /^message: expected at most 65536 values/];
    yield [withRaw(others, f.name, SURROGATE), takes[f.type]('a\ufffdb', f) ? undefined : refused];
    yield [withRaw(others, f.name, '1'.repeat(400)), ['RAW'].includes(f.type) ? undefined : refused];
  }
  for (const [message, detail] of rules[op.op] ?? []) yield [JSON.stringify({ op: op.op, ...message }), detail];
  yield [withRaw(base, 'unknown to us', '{"a":[1]}')];
  yield [withRaw(base, 'unknown to us', DEEP), tooDeep];
}

async function scene(t, options = {}) {
  const hg = await startHeadgate({
    until: 'live', expectErrors: [/kafka/i],
    options: {
      workers: 1, auth: 'trust', kafka_brokers: '127.0.0.1:1', publish_token: TOKEN, max_subscriptions: 10000, max_rooms: 10000, typed_rate: 1000000, typed_burst: 1000000,
      console: 'yes', ...options,
    },
  });
  const by = await bystander(hg);
  t.after(async () => {
    await by.leave();
    await hg.stop();
  });
  const unharmed = async (after) => {
    await by.unharmed(after);
    const odd = by.client.messages.filter((m) => m.type !== 'welcome' && m.op !== 'pong');
    assert.deepEqual(odd, [], `a bystander heard of ${after}`);
  };
  return { hg, by, unharmed, url: hg.url, as: { headers: { 'x-tenant': 'attacker' } } };
}

/**
 * Sends messages one behind the other, each followed by an echo that tells the answers apart; gives the answers to each.
 * Answers to good messages that come later are left aside.
 */
async function converse(s, messages, options = s.as) {
  const c = await Client.open(s.url, options);
  await c.message((m) => m.type === 'welcome');
  let from = c.messages.length;
  const answers = [];
  for (const [i, message] of messages.entries()) {
    c.send(message);
    c.send({ type: 'echo', data: { marker: i } });
    if (i % 50 === 49) await c.message((m) => m.data?.marker === i, { from });
  }
  const last = messages.length - 1;
  await c.until(() => c.closed || c.messages.some((m) => m.type === 'echo_response' && m.data?.marker === last), { what: 'the last answer' });
  assert.equal(c.closed, undefined, `the connection was closed: ${JSON.stringify(c.closed)}`);
  for (let i = 0; i <= last; i++) {
    const end = c.messages.findIndex((m, at) => at >= from && m.type === 'echo_response' && m.data?.marker === i);
    answers.push(c.messages.slice(from, end));
    from = end + 1;
  }
  await c.ping();
  await c.close();
  return answers;
}

const internal = (m) => m.code === 'internal' || m.data?.code === 'internal' || m.code === 'bad_json';

for (const op of ops) {
  test(`op ${op.op}: each field missing, of each type, empty, huge, deep, with half a character`, { timeout: 60000 }, async (t) => {
    const s = await scene(t);
    const all = [...variants(op)], names = [...op.fields.map((f) => f.name), 'message', 'op'];
    const answers = await converse(s, all.map(([m]) => m));
    for (const [i, [message, detail]] of all.entries()) {
      const errors = answers[i].filter((m) => m.op === 'error');
      assert.deepEqual(answers[i].filter(internal), [], short(message));
      if (detail !== undefined) {
        assert.equal(errors.length, 1, `${short(message)} is refused, got ${short(answers[i])}`);
        assert.deepEqual([errors[0].code, errors[0].message], ['bad_op', 'unknown message'], short(message));
        if (detail instanceof RegExp) assert.match(errors[0].detail, detail, short(message));
        else assert.equal(errors[0].detail, detail, short(message));
      } else {
        for (const e of errors.filter((m) => m.code === 'bad_op')) {
          assert.ok(names.some((n) => e.detail?.startsWith(n)), `${short(message)}: ${JSON.stringify(e)} names a field`);
        }
      }
    }
    await s.unharmed(op.op);
  });
}

test('what is no op at all: every other JSON value, an op of another type, an unknown one', { timeout: 60000 }, async (t) => {
  const s = await scene(t);
  const values = [...small, ...huge];
  const whole = values.filter((v) => v === null || typeof v !== 'object' || Array.isArray(v)).map((v) => JSON.stringify(v));
  const named = values.map((op) => JSON.stringify({ op })).concat('{"op":"\\ud800"}', '{}', '{"op":"PING"}', '{"op":"ping "}', '{"op":"ping\\u0000"}');
  const nested = [DEEP, MANY, `{"op":${DEEP}}`, '[{"op":"ping"}]'];
  const all = [...whole, ...named, ...nested];
  const answers = await converse(s, all);
  for (const [i, message] of all.entries()) {
    assert.equal(answers[i].length, 1, short(message));
    assert.deepEqual([answers[i][0].op, answers[i][0].code, answers[i][0].message], ['error', 'bad_op', 'unknown message'], short(message));
    assert.match(answers[i][0].detail, /^(message|op): expected/, short(message));
  }
  const broken = ['', ' ', '{', '{"op":"ping"', '{"op":"ping"}}', "{'op':'ping'}", '{"op":ping}', '{"op":"ping",}', '\u0000', '{"op":"\u0001"}', 'NaN', '01', '\ufeff{"op":"ping"}'];
  for (const [i, a] of (await converse(s, broken)).entries()) {
    assert.deepEqual(a.map((m) => [m.type, m.data]), [['error', { message: 'Invalid JSON message' }]], broken[i]);
  }
  await s.unharmed('no op');
});

test('typed and channel messages: data, type and channel of each type, empty, huge, deep, with half a character', { timeout: 60000 }, async (t) => {
  const s = await scene(t);
  const data = [...typed.flatMap((type) => [...small, ...huge].map((v) => JSON.stringify({ type, data: v }))),
    ...typed.flatMap((type) => [JSON.stringify({ type }), withRaw({ type }, 'data', SURROGATE), withRaw({ type }, 'data', '1'.repeat(400))])];
  for (const [i, answers] of (await converse(s, data)).entries()) {
    assert.ok(answers.length >= 1, `${short(data[i])} has an answer`);
    assert.deepEqual(answers.filter((m) => internal(m) || m.code === 'bad_op'), [], short(data[i]));
  }
  const refused = [
    ...typed.map((type) => [withRaw({ type }, 'data', DEEP), /^message: expected at most 256 levels/]),
    ...[...small, ...huge].map((type) => [JSON.stringify({ type }), /^op: expected a string/]),
    ...['subscribe', 'unsubscribe'].flatMap((type) => [
      [JSON.stringify({ type }), /^channel: expected a string of at least 1 character/],
      ...[...small, ...huge].filter((v) => !name(v)).map((channel) => [JSON.stringify({ type, channel }), /^channel: expected a string of at least 1 character/]),
      [JSON.stringify({ type, channel: 'c'.repeat(HUGE) }), /^channel: /],
      [JSON.stringify({ type, channel: 'a\u0000b' }), /^channel: /],
      [withRaw({ type }, 'channel', DEEP), /^message: expected at most 256 levels/],
    ]),
  ];
  for (const [i, answers] of (await converse(s, refused.map(([m]) => m))).entries()) {
    assert.deepEqual(answers.map((m) => [m.op, m.code]), [['error', 'bad_op']], short(refused[i][0]));
    assert.match(answers[0].detail, refused[i][1], short(refused[i][0]));
  }
  await s.unharmed('typed and channel messages');
});

test('no UTF-8 is 1007, a message above max_message is 1009, for each op and type; nobody else is hurt', { timeout: 60000 }, async (t) => {
  const s = await scene(t);
  const messages = [...ops.map(good), ...typed.map((type) => ({ type, data: 'x' })), { type: 'subscribe', channel: 'c' }];
  for (const message of messages) {
    for (const bad of [[0xff], [0xc0, 0xaf], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80]]) {
      const json = JSON.stringify({ ...message, extra: '@' }), at = json.indexOf('@');
      const c = await rawWebSocket(s.url, s.as);
      await c.write(frame(TEXT, Buffer.concat([Buffer.from(json.slice(0, at)), Buffer.from(bad), Buffer.from(json.slice(at + 1))])));
      await c.until(() => c.ended);
      assert.equal(c.closeCode(), 1007, json);
      c.destroy();
    }
    const c = await rawWebSocket(s.url, s.as);
    await c.write(frame(TEXT, JSON.stringify({ ...message, extra: 'x'.repeat(1048577) })));
    await c.until(() => c.closeCode() !== undefined);
    assert.equal(c.closeCode(), 1009, message.op ?? message.type);
    c.destroy();
  }
  await s.unharmed('bad UTF-8 and long messages');
});

// POST /publish: a good body of each target, and what each field takes.
const bodies = [{ channel: 'c', data: {} }, { room: 'r', text: 't' }, { room: 'r', b64: 'aGk=' }, { path: '/p', text: 't' }, { id: 'x', text: 't' }, { all: true, text: 't' }]
  .map((body) => ({ tenant: 'attacker', ...body }));
const plain = (v) => name(v) && v.length <= 256;
const publishTakes = {
  tenant: (v) => name(v) && v.length <= 128, channel: plain, room: plain, path: plain, id: plain, all: (v) => v === true, text,
  b64: (v) => text(v) && /^[\w+/-]*$/.test(v) && v.length % 4 !== 1, data: (v) => v !== null && typeof v === 'object' && !Array.isArray(v),
};

test('POST /publish: each field missing, of each type, empty, huge, deep, with half a character, alone and in a batch', { timeout: 60000 }, async (t) => {
  const s = await scene(t);
  const post = async (body) => {
    const r = await fetch(`${s.hg.http}/publish`, { method: 'POST', headers: { authorization: `Bearer ${TOKEN}` }, body });
    return { status: r.status, ...await r.json() };
  };
  for (const body of bodies) {
    assert.equal((await post(JSON.stringify(body))).status, 200, JSON.stringify(body));
    for (const [field, takesIt] of Object.entries(publishTakes).filter(([k]) => k in body)) {
      const others = without(body, field);
      const refused = async (json, why) => {
        const alone = await post(json), batch = await post(`[${JSON.stringify(body)},${json}]`);
        assert.equal(alone.status, 400, short(json));
        assert.match(alone.error, why, short(json));
        assert.deepEqual([batch.status, batch.error], [400, `[1].${alone.error}`], short(json));
      };
      if (field !== 'tenant') await refused(JSON.stringify(others), { text: /^text: expected/, b64: /^text: expected/, data: /^data: expected/ }[field] ?? /^channel: expected/);
      for (const v of [...small, ...huge]) {
        const json = JSON.stringify({ ...others, [field]: v });
        if (takesIt(v)) assert.equal((await post(json)).status, 200, short(json));
        else await refused(json, new RegExp(`^${field}: `));
      }
      const half = await post(withRaw(others, field, SURROGATE));
      assert.equal(half.status, takesIt('a\ufffdb') ? 200 : 400, field);
      for (const [raw, error] of [[DEEP, 'body: expected at most 256 levels of nesting'], [MANY, 'body: expected at most 65536 values']]) {
        assert.deepEqual(await post(withRaw(others, field, raw)), { status: 400, error }, field);
      }
    }
  }
  for (const v of [...small, ...huge].filter((x) => x === null || typeof x !== 'object')) assert.match((await post(JSON.stringify(v))).error, /^body: expected an object/, short(v));
  for (const v of [[5], [null], [[]], [bodies[0], 'x']]) assert.match((await post(JSON.stringify(v))).error, /^\[\d\]\.body: expected an object/, short(v));
  for (const raw of ['', ' ', '{', '{}}', Buffer.from([0xff]), Buffer.concat([Buffer.from('{"room":"r","text":"'), Buffer.from([0xed, 0xa0, 0x80]), Buffer.from('"}')])]) {
    assert.deepEqual(await post(raw), { status: 400, error: 'body: expected JSON' }, String(raw));
  }
  assert.equal((await post('x'.repeat(1048577))).status, 413);
  await s.unharmed('POST /publish');
});

// [path, methods it has (undefined: all)], status of a good GET
const clientPort = [['/health', undefined, 200], ['/console/', ['GET', 'HEAD'], 200], ['/console/nothing', ['GET', 'HEAD'], 404], ['/console', undefined, 301],
  ['/publish', ['POST'], 405], ['/', undefined, 200], ['/livez', undefined, 200], ['/stop', undefined, 200], [`/${'p'.repeat(4000)}`, undefined, 200], ['/%00%ff%', undefined, 200]];
const adminPort = [['/livez', ['GET', 'HEAD'], 200], ['/readyz', ['GET', 'HEAD'], 503], ['/metrics', ['GET', 'HEAD'], 200], ['/status', ['GET', 'HEAD'], 200],
  ...['/reload', '/stop', '/drain', '/log-level', '/', '/health', '/publish', '/status/', '/metrics/x'].map((path) => [path, undefined, 404])];
const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'BREW', 'get', 'M'.repeat(60)];

for (const [port, paths] of [['clients\' port', clientPort], ['admin port', adminPort]]) {
  test(`every path of the ${port}: wrong methods, bodies, queries, sizes`, { timeout: 60000 }, async (t) => {
    const s = await scene(t);
    const base = port === 'admin port' ? s.hg.admin : s.hg.http;
    const ask = (method, path, head = '', body = '') => exchange(base, `${method} ${path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n${head}\r\n${body}`, { head: method === 'HEAD' });
    for (const [path, methods, status] of paths) {
      for (const method of METHODS) {
        const a = await ask(method, path);
        const wanted = !methods ? status : methods.includes(method) ? { POST: 401 }[method] ?? status : 405;
        assert.equal(a.status, wanted, `${method} ${short(path)}`);
        if (wanted === 405) assert.equal(a.headers.allow, methods.join(', '), `${method} ${short(path)}`);
      }
      for (const query of ['?', '?x', `?${'q'.repeat(2000)}`, '?%ff%00', '?a=b&a=c#d']) {
        const a = await ask('GET', path + query);
        assert.ok([status, 400].includes(a.status), `GET ${short(path + query)}: ${a.status}`);
      }
      assert.equal((await ask('GET', path, `X: ${'a'.repeat(70000)}\r\n`)).status, 431, `GET ${short(path)} with a field of 70 KB`);
      assert.equal((await ask('POST', path, 'Content-Length: 5, 6\r\n', 'hello')).status, 400, `POST ${short(path)} of two lengths`);
      for (const [length, body] of [[5, '\xff\0{[x'], [2, '{}'], [0, '']]) {
        const a = await ask('POST', path, `Content-Length: ${length}\r\nContent-Type: application/json\r\n`, body);
        assert.ok([methods ? 405 : status, 401, 413].includes(a.status), `POST ${short(path)} with a body: ${a.status}`);
      }
      const large = await ask('POST', path, 'Content-Length: 1000000000\r\n');
      assert.ok([413, 405, 401, 404].includes(large.status), `POST ${short(path)} of 1 GB: ${large.status}`);
    }
    await s.unharmed(`the ${port}`);
  });
}

test('the control socket: wrong methods, verbs and arguments are answered, and nothing happens', { timeout: 60000 }, async (t) => {
  const s = await scene(t);
  const ask = (method, target) => new Promise((resolve, reject) => {
    const request = http.request({ socketPath: s.hg.options.control_socket, method, path: target, agent: false }, (r) => {
      let body = '';
      r.on('data', (d) => { body += d; });
      r.on('end', () => resolve({ status: r.statusCode, allow: r.headers.allow, body }));
    });
    request.on('error', reject).end();
  });
  for (const verb of ['reload', 'stop', 'drain', 'log-level']) {
    for (const method of ['GET', 'HEAD', 'PUT', 'DELETE']) {
      const a = await ask(method, `/${verb}`);
      assert.deepEqual([a.status, a.allow], [405, 'POST'], `${method} ${verb}`);
    }
  }
  const values = ['', 'x', '-1', '99', '1.5', '18446744073709551616', '%00', '%ff', 'a'.repeat(2000), 'loud', 'ERROR', 'now now'];
  for (const [verb, good] of [['stop', ['']], ['drain', []], ['log-level', []]]) {
    for (const value of values.filter((v) => !good.includes(v))) {
      const a = await ask('POST', `/${verb}?arg=${value.replaceAll(' ', '%20')}`);
      assert.equal(a.status, 400, `${verb} ${short(value)}: ${a.body}`);
      assert.notEqual(a.body, '', 'says what it takes');
    }
  }
  for (const target of ['/', '/nothing', '/stop/', '/stopnow', `/${'v'.repeat(4000)}`]) assert.equal((await ask('POST', target)).status, 404, short(target));
  await s.unharmed('the control socket');
});

// The arguments of the SQL calls: method and name, from the list of items that docs/compatibility.md is checked against.
const items = readFileSync(path.join(root, 'tests/check/compatibility.items'), 'utf8');
const rpcArguments = [...items.matchAll(/^rpc\.([A-Z_]+)\.(\w+) /gm)].map(([, method, field]) => ({ method, field })).filter(({ field }) => field !== 'data');

test('rpc: each argument of each method of each type, empty, huge, deep, with half a character: one result each, naming what is wrong', { timeout: 60000 }, async (t) => {
  assert.ok(rpcArguments.length >= 25, 'the list has the arguments');
  const s = await scene(t, { max_calls: 65535, max_calls_tenant: 1000000 });
  const base = { GET_SINGLE: { primaryId: 1 }, UPDATE_SINGLE: { primaryId: 1, updates: {} }, DELETE_ROW: { primaryId: 1 }, CREATE_TABLE: { definition: { name: 't', columns: [] } } };
  const all = [];
  for (const { method, field } of [...rpcArguments, ...rpcArguments.map(({ method }) => ({ method, field: 'tableName' }))]) {
    const payload = { ...base[method] };
    delete payload[field];
    const message = (json) => `{"op":"rpc","method":"${method}","table":"t","correlationId":"c","payload":${json}}`;
    for (const v of [...small, ...huge]) all.push([method, field, message(JSON.stringify({ ...payload, [field]: v }))]);
    all.push([method, field, message(withRaw(payload, field, SURROGATE))], [method, field, message(withRaw(payload, field, '1'.repeat(400)))],
      [method, field, message(withRaw(payload, field, '['.repeat(28) + ']'.repeat(28)))]);
  }
  for (const { method } of rpcArguments) for (const v of [...small, ...huge]) all.push([method, 'payload', `{"op":"rpc","method":"${method}","table":"t","correlationId":"c","payload":${JSON.stringify(v)}}`]);
  const answers = await converse(s, all.map(([, , m]) => m));
  for (const [i, [method, field, message]] of all.entries()) {
    assert.deepEqual(answers[i].map((m) => [m.op, m.method, m.correlationId, m.ok]), [['rpcResult', method, 'c', false]], `${field}: ${short(message)}`);
    const { error } = answers[i][0];
    assert.ok(error === 'SQL RPC client is not available' || /^(payload|definition|bad_query|table)\b.*: ?/.test(error), `${field}: ${short(message)}: ${error}`);
  }
  await s.unharmed('rpc arguments');
});
