// Opening handshakes and HTTP requests as no polite library sends them, against the real gateway: the status that RFC 6455
// and RFC 9112 want, no second answer out of a smuggled request, deadlines that a slow sender cannot stretch, nothing felt
// by a bystander on the same worker. The rows are named by section.
// Not tested here: what /health and the admin port say (health_and_admin), identity (trust).
import test from 'node:test';
import assert from 'node:assert/strict';
import { bystander } from '../support/bystander.mjs';
import { startHeadgate } from '../support/headgate.mjs';
import { PING, PONG, TEXT, frame, serverFrames, tcp, upgrade } from '../support/http.mjs';
import { slowness, waitFor } from '../support/wait.mjs';

const KEY = 'dGhlIHNhbXBsZSBub25jZQ==', ACCEPT = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo='; // RFC 6455 1.3
const BANNER = 'cladbe-ws-gateway';
const ws = (headers = {}, more = {}) => upgrade({ path: '/echo', ...more, headers: { 'Sec-WebSocket-Key': KEY, ...headers } });
const get = (path = '/', fields = '') => `GET ${path} HTTP/1.1\r\nHost: h\r\n${fields}\r\n`;
const many = (n) => Array.from({ length: n }, (_, i) => `X-${i}: 1\r\n`).join('');
const SMUGGLED = get('/health');

// [section and case, request, status, { headers it must have, body }]
const handshakes = [
  ['1.3 the sample', ws(), 101, { 'sec-websocket-accept': ACCEPT }],
  ['4.2.1 names and tokens in odd case', `GET /echo HTTP/1.1\r\nhOST: h\r\nuPgRaDe: WEBsocket\r\ncONNECTION: uPGRADE\r\nsec-websocket-KEY: ${KEY}\r\nSEC-websocket-version: 13\r\n\r\n`, 101, { 'sec-websocket-accept': ACCEPT }],
  ['4.2.1 tokens in lists', ws({ Upgrade: 'h2c, websocket', Connection: 'keep-alive, Upgrade' }), 101],
  ['4.2.1 Connection in two lines', ws({ Connection: ['keep-alive', 'Upgrade'] }), 101],
  ['9.1 an unknown extension is declined', ws({ 'Sec-WebSocket-Extensions': 'x-headgate; a=1' }), 101, { 'sec-websocket-extensions': undefined }],
  ['11.3.4 none offered, none chosen', ws(), 101, { 'sec-websocket-protocol': undefined }],
  ['11.3.4 one offered is chosen', ws({ 'Sec-WebSocket-Protocol': 'bearer.t, json' }), 101, { 'sec-websocket-protocol': 'json' }],
  ['9112 3.2.2 absolute form', ws({}, { path: 'http://h/echo' }), 101],
  ['9112 2.2 an empty line before', `\r\n${ws()}`, 101],
  ['4.2.1 (1) POST', ws({}, { method: 'POST' }), 400],
  ['4.2.1 (1) HTTP/1.0', ws({}, { version: 'HTTP/1.0' }), 400],
  ['4.2.1 (1) GET with a body', `${ws({ 'Content-Length': '5' })}hello`, 400],
  ['4.2.1 (1) GET with a chunked body', `${ws({ 'Transfer-Encoding': 'chunked' })}0\r\n\r\n`, 400],
  ['4.2.1 (2) no Host', ws({ Host: undefined }), 400],
  ['4.2.1 (2) two Hosts', ws({ Host: ['a', 'b'] }), 400],
  ['4.2.1 (2) two equal Hosts', ws({ Host: ['a', 'a'] }), 400],
  ['4.2.1 (4) no Connection', ws({ Connection: undefined }), 400],
  ['4.2.1 (4) Connection without Upgrade', ws({ Connection: 'keep-alive' }), 400],
  ['4.2.1 (5) no key', ws({ 'Sec-WebSocket-Key': undefined }), 400],
  ['4.2.1 (5) empty key', ws({ 'Sec-WebSocket-Key': '' }), 400],
  ['4.2.1 (5) key of 23', ws({ 'Sec-WebSocket-Key': KEY.slice(0, 23) }), 400],
  ['4.2.1 (5) key of 25', ws({ 'Sec-WebSocket-Key': `${KEY}=` }), 400],
  ['4.2.1 (5) key of 15 bytes', ws({ 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25j' }), 400],
  ['4.2.1 (5) key not base64', ws({ 'Sec-WebSocket-Key': '!!!!!!!!!!!!!!!!!!!!!!==' }), 400],
  ['11.3.1 two keys', ws({ 'Sec-WebSocket-Key': [KEY, KEY] }), 400],
  ['4.2.1 (6) no version', ws({ 'Sec-WebSocket-Version': undefined }), 426, { 'sec-websocket-version': '13' }],
  ...['0', '7', '8', '14', '013', '13, 8', 'x'].map((v) => [`4.2.2 (4) version ${v}`, ws({ 'Sec-WebSocket-Version': v }), 426, { 'sec-websocket-version': '13' }]),
  ['11.3.5 two versions', ws({ 'Sec-WebSocket-Version': ['13', '13'] }), 400],
];

const requests = [
  ['the banner', get(), 200, { body: BANNER }],
  ['the banner on any path', get('/any/path?x=y'), 200, { body: BANNER }],
  ...['POST', 'PUT', 'PATCH', 'DELETE', 'BREW'].map((m) => [`the banner for ${m}`, `${m} /x HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n`, 200, { body: BANNER }]),
  ['9112 3.2.4 OPTIONS *', 'OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n', 200, { body: BANNER }],
  ['HTTP/1.0', 'GET / HTTP/1.0\r\n\r\n', 200, { body: BANNER }],
  ['another Upgrade is no WebSocket', get('/', 'Upgrade: h2c\r\nConnection: Upgrade\r\n'), 200, { body: BANNER }],
  ['9110 9.3.2 HEAD', 'HEAD / HTTP/1.1\r\nHost: h\r\n\r\n', 200, { head: true, 'content-length': String(BANNER.length) }],
  ['9110 9.3.2 HEAD /health', 'HEAD /health HTTP/1.1\r\nHost: h\r\n\r\n', 200, { head: true, 'content-type': /^application\/json/ }],
  ['9110 9.3.3 POST /health', 'POST /health HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n', 200, { 'content-type': /^text\/plain/ }], // the banner
  ['9110 15.5.6 DELETE /console/', 'DELETE /console/ HTTP/1.1\r\nHost: h\r\n\r\n', 405, { allow: /GET/ }],
  ['the console', get('/console/'), 200, { 'content-type': /^text\/html/ }],
  ['an unknown file of the console', get('/console/nothing.js'), 404],
  ['a way out of the console', get('/console/../../etc/passwd'), 404],
  ['an encoded way out of the console', get('/console/%2e%2e/%2e%2e/etc/passwd'), 404],
  ['9112 2.2 bare LF', 'GET / HTTP/1.1\nHost: h\n\n', 400],
  ['9112 2.2 bare CR in a field', get('/', 'A: b\rc\r\n'), 400],
  ['9112 2.2 blank line start', 'GET / HTTP/1.1\r\n Host: h\r\n\r\n', 400],
  ['9112 2.3 HTTP/2 preface', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 505],
  ['9112 2.3 HTTP/1.2', 'GET / HTTP/1.2\r\nHost: h\r\n\r\n', 505],
  ['9112 3 no version', 'GET /\r\n\r\n', 400],
  ['9112 3 two blanks', 'GET  / HTTP/1.1\r\nHost: h\r\n\r\n', 400],
  ['9112 3.2 no Host', 'GET / HTTP/1.1\r\n\r\n', 400],
  ['9112 3.2 Host with a path', 'GET / HTTP/1.1\r\nHost: a/b\r\n\r\n', 400],
  ['9112 5.1 blank before the colon', get('/', 'A : b\r\n'), 400],
  ['9112 5.1 no colon', get('/', 'A\r\n'), 400],
  ['9112 5.2 folding', get('/', 'A: b\r\n c\r\n'), 400],
  ['9110 5.5 NUL in a field', get('/', 'A: b\0c\r\n'), 400],
  ['9110 5.5 NUL in a name', get('/', 'A\0: b\r\n'), 400],
  ['9112 6.1 length and chunked', `POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`, 400],
  ['9112 6.1 chunked behind a vertical tab', `POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n${SMUGGLED}`, 400],
  ['9112 6.1 unknown coding', `POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n${SMUGGLED}`, 400],
  ['9112 6.1 two codings', `POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n${SMUGGLED}`, 400],
  ['9112 6.1 coding in HTTP/1.0', `POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`, 400],
  ['9112 6.3 two lengths', `POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nContent-Length: ${SMUGGLED.length}\r\n\r\n${SMUGGLED}`, 400],
  ['9112 6.3 two equal lengths', 'POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi', 400],
  ...['+5', '-5', '0x5', '5, 5', '5 5', ''].map((v) => [`9112 6.2 length "${v}"`, `POST / HTTP/1.1\r\nHost: h\r\nContent-Length: ${v}\r\n\r\nhello`, 400]),
  ['9110 15.5.14 a body too large', 'POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000000\r\n\r\n', 413],
  ['9110 8.6 a length beyond 64 bits', 'POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999999\r\n\r\n', 413],
  ['6585 5 a field of 64 KB', get('/', `X: ${'a'.repeat(65536)}\r\n`), 431, { whole: true }],
  ['6585 5 a request line of 64 KB', get(`/${'a'.repeat(65536)}`), 431, { whole: true }],
  ['6585 5 100 fields and Host', get('/', many(100)), 431, { whole: true }],
  ['99 fields and Host', get('/', many(99)), 200, { whole: true, body: BANNER }],
  ['a TLS hello', Buffer.from('16030102000100fc0303'.padEnd(64, '0'), 'hex').toString('latin1'), 400],
  ['a word', 'hello\r\n\r\n', 400],
];

/** Every answer in the text of a connection. */
function answers(text, { head } = {}) {
  const list = [];
  for (let rest = text; rest;) {
    const end = rest.indexOf('\r\n\r\n');
    if (end < 0) break;
    const [first, ...lines] = rest.slice(0, end).split('\r\n');
    const headers = Object.fromEntries(lines.map((l) => [l.slice(0, l.indexOf(':')).toLowerCase(), l.slice(l.indexOf(':') + 1).trim()]));
    const length = head ? 0 : Number(headers['content-length'] ?? 0);
    if (rest.length < end + 4 + length) break;
    const status = Number(first.split(' ')[1]);
    list.push({ first, status, headers, body: rest.slice(end + 4, end + 4 + length) });
    if (status === 101) break;
    rest = rest.slice(end + 4 + length);
  }
  return list;
}

async function scene(t, options = {}) {
  const hg = await startHeadgate({
    until: 'live', expectErrors: [/kafka/i],
    options: { workers: 1, echo_path: '/echo', console: 'yes', kafka_brokers: '127.0.0.1:1', ...options },
  });
  const by = await bystander(hg);
  t.after(async () => {
    await by.leave();
    await hg.stop();
  });
  return { hg, by };
}

async function play(s, [what, request, status, want = {}], bytewise) {
  const c = await tcp(s.hg.url);
  const { head, whole, body, ...headers } = want;
  const all = Buffer.from(request, 'latin1');
  if (bytewise) for (let i = 0; i < all.length && !c.ended; i++) await c.write(all.subarray(i, i + 1));
  else await c.write(all);
  await c.until(() => c.ended || answers(c.text(), { head }).length > 0, 10000, what);
  const [a] = answers(c.text(), { head });
  assert.ok(a, `${what}: no answer, got ${JSON.stringify(c.text().slice(0, 200))}`);
  assert.match(a.first, /^HTTP\/1\.1 \d\d\d [A-Z]/, what);
  assert.equal(a.status, status, what);
  if (body !== undefined) assert.equal(a.body, body, what);
  for (const [name, value] of Object.entries(headers)) {
    if (value instanceof RegExp) assert.match(a.headers[name] ?? '', value, `${what}: ${name}`);
    else assert.equal(a.headers[name], value, `${what}: ${name}`);
  }
  if ([400, 413, 431, 505].includes(status)) {
    // After these nobody knows where the next request would begin: the connection ends, and nothing else was answered.
    await c.until(() => c.ended, 10000, `${what}: end of the connection`);
    assert.equal(a.headers.connection?.toLowerCase(), 'close', what);
    assert.equal(answers(c.text(), { head }).length, 1, `${what}: one answer, got ${c.text()}`);
  }
  c.destroy();
}

for (const [name, rows] of [['opening handshakes', handshakes], ['plain requests', requests]]) {
  test(`${name}: each its status, whole and bytewise`, { timeout: 240000 }, async (t) => {
    const s = await scene(t), faults = [];
    for (const row of rows) {
      for (const bytewise of row[3]?.whole ? [false] : [false, true]) {
        await play(s, row, bytewise).catch((error) => faults.push(`${bytewise ? 'bytewise ' : ''}${error.message}`));
      }
      await s.by.unharmed(row[0]);
    }
    assert.equal(faults.length, 0, faults.join('\n'));
  });
}

test('an origin that is not listed gets 403, a listed one 101', { timeout: 60000 }, async (t) => {
  const hg = await startHeadgate({
    until: 'live', expectErrors: [/kafka/i], options: { workers: 1, kafka_brokers: '127.0.0.1:1', allowed_origins: 'https://ok.example' },
  });
  t.after(() => hg.stop());
  for (const [origin, status] of [['https://ok.example', 101], ['https://ok.example:443', 403], ['https://ok.example.evil', 403], ['null', 403], [undefined, 403]]) {
    const c = await tcp(hg.url);
    await c.write(ws({ Origin: origin }));
    await c.until(() => answers(c.text()).length > 0);
    assert.equal(answers(c.text())[0].status, status, String(origin));
    c.destroy();
  }
});

test('frames right behind the request are heard', { timeout: 60000 }, async (t) => {
  const s = await scene(t);
  const c = await tcp(s.hg.url);
  await c.write(Buffer.concat([Buffer.from(ws()), frame(TEXT, 'early'), frame(PING, 'bird')]));
  const frames = () => serverFrames(c.bytes().subarray(c.bytes().indexOf('\r\n\r\n') + 4));
  await c.until(() => c.text().includes('\r\n\r\n') && frames().length === 2);
  assert.match(c.text(), /^HTTP\/1\.1 101 /);
  assert.deepEqual(frames().map((f) => [f.opcode, f.payload.toString()]), [[TEXT, 'early'], [PONG, 'bird']]);
  c.destroy();

  const op = await tcp(s.hg.url); // the same where messages mean something
  await op.write(Buffer.concat([Buffer.from(ws({}, { path: '/' })), frame(TEXT, '{"op":"ping"}')]));
  await op.until(() => op.text().includes('{"op":"pong"}'));
  op.destroy();

  const bad = await tcp(s.hg.url);
  await bad.write(Buffer.concat([Buffer.from(ws()), frame(TEXT, 'bare', { mask: false })]));
  await bad.until(() => bad.ended);
  assert.match(bad.text(), /^HTTP\/1\.1 101 /);
  const [close] = serverFrames(bad.bytes().subarray(bad.bytes().indexOf('\r\n\r\n') + 4));
  assert.equal(close.payload.readUInt16BE(0), 1002);
  bad.destroy();
  await s.by.unharmed('pipelined frames');
});

test('one connection, several requests: answers in order, a body is no request', { timeout: 60000 }, async (t) => {
  const s = await scene(t);
  const c = await tcp(s.hg.url);
  await c.write(get('/health') + get('/a') + get('/health', 'Connection: close\r\n'));
  await c.until(() => c.ended);
  assert.deepEqual(answers(c.text()).map((a) => [a.status, a.body === BANNER]), [[200, false], [200, true], [200, false]]);

  const body = await tcp(s.hg.url);
  await body.write(`POST / HTTP/1.1\r\nHost: h\r\nContent-Length: ${SMUGGLED.length}\r\n\r\n${SMUGGLED}${get('/last', 'Connection: close\r\n')}`);
  await body.until(() => body.ended);
  const got = answers(body.text());
  assert.ok(got.length >= 1 && got.length <= 2, body.text());
  for (const a of got) assert.deepEqual([a.status, a.body], [200, BANNER], 'the body was taken for a request');

  // What a chunked body holds is no request either, whether the gateway reads chunks or ends the connection.
  const chunked = await tcp(s.hg.url);
  await chunked.write(`POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n${SMUGGLED.length.toString(16)}\r\n${SMUGGLED}\r\n0\r\n\r\n`);
  chunked.socket.end();
  await chunked.until(() => chunked.ended);
  assert.equal(answers(chunked.text()).length, 1, chunked.text());
  assert.ok(!chunked.text().includes('healthy'), 'a chunk was taken for a request');
  await s.by.unharmed('bodies');
});

test('a slow or silent sender is ended by handshake_timeout, however it dribbles', { timeout: 120000 }, async (t) => {
  const s = await scene(t, { handshake_timeout: '1s' });
  const timed = async (what, act, least = 500) => {
    const c = await tcp(s.hg.url), begun = performance.now();
    await act?.(c);
    await c.until(() => c.ended, 10000, `${what}: end of the connection`);
    const ms = performance.now() - begun;
    assert.ok(ms > least, `${what}: ended after ${ms} ms, too early`);
    assert.ok(ms < 4000 * slowness(), `${what}: ended after ${ms} ms only`);
    const list = answers(c.text());
    c.destroy();
    return list.map((a) => a.status);
  };
  const dribble = (text) => async (c) => { // a byte every 200 ms is what is tested; the end is waited for, not timed
    for (let i = 0; i < text.length && !c.ended; i++) {
      await c.write(text[i]);
      await waitFor(() => c.ended || performance.now() > (c.next ?? 0), { every: 5 });
      c.next = performance.now() + 200;
    }
  };
  await timed('silence');
  assert.deepEqual(await timed('one byte every 200 ms', dribble(ws())), [408]);
  assert.deepEqual(await timed('half a request', (c) => c.write(ws().slice(0, 60))), [408]);
  const body = await timed('half a body', (c) => c.write('POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc'), 0); // the answer needs no body
  assert.ok(body.length <= 1 && [200, 408, undefined].includes(body[0]), `half a body: ${body}`);
  const second = await timed('a second request that never ends', (c) => c.write(get() + get().slice(0, 20)), 0);
  assert.ok(second.length >= 1 && second[0] === 200, `second request: ${second}`);
  await s.by.unharmed('slow senders');

  const crowd = await Promise.all(Array.from({ length: 200 }, () => tcp(s.hg.url)));
  await Promise.all(crowd.map((c, i) => c.write(ws().slice(0, i % 100))));
  await Promise.all(crowd.map((c) => c.until(() => c.ended, 15000, 'a crowd of half requests')));
  for (const c of crowd) c.destroy();
  await s.by.unharmed('a crowd of half requests');
});

test('peers that reset or end in mid request leave nothing behind', { timeout: 60000 }, async (t) => {
  const s = await scene(t, { handshake_timeout: '5m' }); // the end itself must be seen
  for (let i = 0; i < 200; i++) {
    const c = await tcp(s.hg.url), some = ws().slice(0, i % 150);
    if (i % 2) {
      await c.write(some);
      c.socket.resetAndDestroy();
    } else {
      c.socket.end(some); // data and FIN come together
      await c.until(() => c.ended, 10000, `end of the connection after ${some.length} bytes of a request`);
    }
  }
  await s.by.unharmed('ends in mid request');
});
