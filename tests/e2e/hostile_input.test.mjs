// Hostile peers: RFC 6455's MUSTs as a table with section numbers, at the socket; oversize, half-open, slow-loris, floods,
// tiny fragments, garbage. Each is answered by the close code or status of the table, and a bystander on the same worker
// keeps getting its diffs.
// Not tested here: the codecs' every split (unit tests of proto), records from Kafka (odd_records).
import test from 'node:test';
import assert from 'node:assert/strict';
import { Client } from '../support/client.mjs';
import { faultsOf } from '../support/database.mjs';
import { BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, closeFrame, exchange, frame, rawWebSocket, tcp, upgrade } from '../support/http.mjs';
import { memoryOf } from '../support/proc.mjs';
import { stage } from '../support/stage.mjs';
import { load, slowness, waitFor } from '../support/wait.mjs';

const PING_OP = '{"op":"ping"}';
const EURO = Buffer.from('{"op":"ping","x":"€"}');

// [section, what, bytes, expected]: a close code, or { pong: n } messages answered and the connection open.
const FRAMES = [
  ['5.1', 'a frame without mask', frame(TEXT, PING_OP, { mask: false }), 1002],
  ['5.2', 'RSV1', frame(TEXT, PING_OP, { rsv: 4 }), 1002],
  ['5.2', 'RSV2', frame(TEXT, PING_OP, { rsv: 2 }), 1002],
  ['5.2', 'RSV3', frame(TEXT, PING_OP, { rsv: 1 }), 1002],
  ...[3, 4, 5, 6, 7, 11, 12, 13, 14, 15].map((op) => ['5.2', `opcode ${op}`, frame(op, 'x'), 1002]),
  ['5.2', 'a length of 5 in 16 bits', frame(TEXT, 'hello', { length: [126, 0, 5] }), 1002],
  ['5.2', 'a length of 200 in 64 bits', frame(TEXT, 'x'.repeat(200), { length: [127, 0, 0, 0, 0, 0, 0, 0, 200] }), 1002],
  ['5.2', 'a length with the top bit', frame(TEXT, '', { length: [127, 128, 0, 0, 0, 0, 0, 0, 0] }), 1002],
  ['5.2', 'a length of 2^62', frame(TEXT, '', { length: [127, 64, 0, 0, 0, 0, 0, 0, 0] }), 1009],
  ['5.4', 'a continuation without a start', frame(CONTINUATION, 'x'), 1002],
  ['5.4', 'a text inside a message', Buffer.concat([frame(TEXT, 'a', { fin: false }), frame(TEXT, PING_OP)]), 1002],
  ['5.4', 'a message in three parts', Buffer.concat([frame(TEXT, '{"op":', { fin: false }), frame(CONTINUATION, '"pin', { fin: false }), frame(CONTINUATION, 'g"}')]), { pong: 1 }],
  ['5.4', 'a ping between the parts', Buffer.concat([frame(TEXT, '{"op":', { fin: false }), frame(PING, 'p'), frame(CONTINUATION, '"ping"}')]), { pong: 1, control: 1 }],
  ['5.4', 'an empty first part', Buffer.concat([frame(TEXT, '', { fin: false }), frame(CONTINUATION, PING_OP)]), { pong: 1 }],
  ['5.5', 'a ping of 125 bytes', frame(PING, 'x'.repeat(125)), { control: 1 }],
  ['5.5', 'a ping of 126 bytes', frame(PING, 'x'.repeat(126)), 1002],
  ['5.5', 'a fragmented ping', frame(PING, 'x', { fin: false }), 1002],
  ['5.5.1', 'a close without a body', frame(CLOSE), 0],
  ['5.5.1', 'a close with 1 byte', frame(CLOSE, 'x'), 1002],
  ['5.5.1', 'a close with 1000 and a reason', closeFrame(1000, 'bye'), 1000],
  ['5.5.1', 'data after close is ignored', Buffer.concat([closeFrame(1000), frame(TEXT, PING_OP)]), 1000],
  ['5.5.1', 'a close of 126 bytes', frame(CLOSE, Buffer.concat([Buffer.from([3, 232]), Buffer.alloc(124, 'x')])), 1002],
  ['7.4.1', 'close 3000 and 4999 are the application\'s', closeFrame(4999), 4999],
  ...[0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535].map((code) => ['7.4', `close code ${code}`, closeFrame(code), 1002]),
  ['8.1', 'a close reason that is no UTF-8', closeFrame(1000, Buffer.from([0xff])), 1007],
  ['5.5.3', 'a pong nobody asked for', Buffer.concat([frame(PONG, 'x'), frame(TEXT, PING_OP)]), { pong: 1 }],
  ['8.1', 'a character cut across parts', Buffer.concat([
    frame(TEXT, EURO.subarray(0, 19), { fin: false }), frame(CONTINUATION, EURO.subarray(19, 20), { fin: false }), frame(CONTINUATION, EURO.subarray(20))]), { pong: 1 }],
  ['8.1', 'a lone continuation byte', frame(TEXT, Buffer.from([0x80])), 1007],
  ['8.1', 'a surrogate', frame(TEXT, Buffer.from([0xed, 0xa0, 0x80])), 1007],
  ['8.1', 'an overlong slash', frame(TEXT, Buffer.from([0xc0, 0xaf])), 1007],
  ['8.1', 'above U+10FFFF', frame(TEXT, Buffer.from([0xf4, 0x90, 0x80, 0x80])), 1007],
  ['8.1', 'a character that never ends', frame(TEXT, EURO.subarray(0, 19)), 1007],
  ['8.1', 'no UTF-8 in a part, before the message ends', frame(TEXT, Buffer.from([0xff]), { fin: false }), 1007],
  ['5.6', 'a binary message is ignored', Buffer.concat([frame(BINARY, Buffer.from([0xff])), frame(TEXT, PING_OP)]), { pong: 1 }],
  ['10.4', 'a message above max_message', frame(TEXT, '', { length: [127, 0, 0, 0, 0, 0, 0x20, 0, 0] }), 1009],
  ['10.4', 'fragments above max_message', Buffer.concat([frame(TEXT, 'x'.repeat(700000), { fin: false }), frame(CONTINUATION, 'x'.repeat(700000))]), 1009],
];

async function scene(t, options = {}) {
  const s = await stage(t, { options: { workers: 1, ...options } });
  s.bystander = s.keep(await Client.open(s.hg.url));
  await s.bystander.subscribe('t', 'calm');
  s.raw = [];
  t.after(() => s.raw.forEach((c) => c.destroy()));
  s.open = async (o) => {
    const c = await rawWebSocket(s.hg.url, o);
    s.raw.push(c);
    return c;
  };
  s.tcp = async () => {
    const c = await tcp(s.hg.url);
    s.raw.push(c);
    return c;
  };
  s.calm = async () => {
    for (let n = 0; n < 5; n++) s.db.commit('t', 'calm', 'x', { n });
    await s.db.flush();
    const due = s.db.lsnsAfter('t', 'calm', s.bystander.sub('calm').snapshots[0].lsn).length;
    await s.bystander.until(() => s.bystander.binary >= due || s.bystander.closed, { what: 'the bystander\'s diffs' });
    assert.deepEqual(faultsOf(s.db, 't', s.bystander.sub('calm'), { whole: true }), []);
    assert.equal(s.bystander.closed, undefined);
    assert.deepEqual(s.bystander.messages.filter((m) => m.op === 'error'), []);
  };
  return s;
}

const pongs = (c) => c.texts().filter((x) => x === '{"op":"pong"}').length;
const controls = (c) => c.frames().filter((f) => f.opcode === PONG).length;

test('RFC 6455 as a table, whole and byte by byte', { timeout: 180000 }, async (t) => {
  const s = await scene(t);
  for (const [section, what, bytes, expected] of FRAMES) {
    for (const step of bytes.length < 400 ? [bytes.length, 1] : [bytes.length]) {
      const label = `${section} ${what}, ${step === 1 ? 'byte by byte' : 'whole'}`;
      const c = await s.open();
      for (let at = 0; at < bytes.length && !c.ended; at += step) await c.write(bytes.subarray(at, at + step));
      if (typeof expected === 'number') {
        await c.until(() => c.closeCode() !== undefined || c.ended, 10000, label);
        assert.equal(c.closeCode(), expected, label);
        await c.whenEnded(10000);
        assert.equal(pongs(c), 0, `${label}: nothing is answered after a close`);
      } else {
        await c.until(() => pongs(c) >= (expected.pong ?? 0) && controls(c) >= (expected.control ?? 0) || c.ended, 10000, label);
        assert.ok(!c.ended && c.closeCode() === undefined, `${label}: closed with ${c.closeCode()}`);
        assert.deepEqual([pongs(c), controls(c)], [expected.pong ?? 0, expected.control ?? 0], label);
      }
      assert.ok(c.frames().every((f) => !f.masked && f.rsv === 0), '5.1: a server masks nothing');
      c.destroy();
    }
  }
  await s.calm();
});

test('handshakes of RFC 6455 4.1 and 4.2, and the shapes of request smuggling', { timeout: 120000 }, async (t) => {
  const s = await scene(t);
  const key = 'dGhlIHNhbXBsZSBub25jZQ==';
  const ok = await exchange(s.hg.url, upgrade({ headers: { 'Sec-WebSocket-Key': key } }), { head: true });
  assert.equal(ok.status, 101);
  assert.equal(ok.headers['sec-websocket-accept'], 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=', '4.2.2: the sample of the RFC');
  assert.ok(!('sec-websocket-extensions' in ok.headers) && !('sec-websocket-protocol' in ok.headers), 'nothing that was not offered');
  const offered = await exchange(s.hg.url, upgrade({ headers: { 'Sec-WebSocket-Protocol': 'bearer.secret, json' } }), { head: true });
  assert.equal(offered.headers['sec-websocket-protocol'], 'json', 'one offered protocol, not the bearer\'s when there is another');
  for (const [section, what, request, status] of [
    ['4.2.1', 'odd case of Upgrade and Connection', upgrade({ headers: { Upgrade: 'WebSocket', Connection: 'keep-alive, UPGRADE' } }), 101],
    ['4.2.1', 'POST', upgrade({ method: 'POST', headers: { 'Content-Length': '0' } }), 400],
    ['4.2.1', 'HTTP/1.0', upgrade({ version: 'HTTP/1.0' }), 400],
    ['4.2.1', 'no Connection: Upgrade', upgrade({ headers: { Connection: 'keep-alive' } }), 400],
    ['4.2.1', 'a key that is no base64', upgrade({ headers: { 'Sec-WebSocket-Key': '!!!!!!!!!!!!!!!!!!!!!!==' } }), 400],
    ['4.2.1', 'two keys', upgrade({ headers: { 'Sec-WebSocket-Key': [key, key] } }), 400],
    ['4.2.1', 'no version', upgrade({ headers: { 'Sec-WebSocket-Version': undefined } }), 426],
    ['4.4', 'version 25', upgrade({ headers: { 'Sec-WebSocket-Version': '25' } }), 426],
    ['9112 5.1', 'a blank before the colon', 'GET / HTTP/1.1\r\nHost : g\r\n\r\n', 400],
    ['9112 5.2', 'a folded header', 'GET / HTTP/1.1\r\nHost: g\r\nX-A: 1\r\n 2\r\n\r\n', 400],
    ['9112 6.1', 'chunked that is not the last', 'POST / HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked, x\r\n\r\n', 400],
    ['9112 6.3', 'a length with a sign', 'POST / HTTP/1.1\r\nHost: g\r\nContent-Length: +5\r\n\r\nhello', 400],
    ['9112 2.2', 'a bare CR', 'GET / HTTP/1.1\r\nHost: g\r\nX-A: a\rb\r\n\r\n', 400],
  ]) {
    const a = await exchange(s.hg.url, request, { head: status === 101 });
    assert.equal(a.status, status, `${section} ${what}`);
  }
  // Frames right behind the request are the first frames.
  const c = await s.tcp();
  await c.write(Buffer.concat([Buffer.from(upgrade()), frame(TEXT, PING_OP)]));
  await c.until(() => c.text().includes('{"op":"pong"}'), 10000, 'a pong to a pipelined frame');
  await s.calm();
});

test('half-open and slow-loris connections are closed after handshake_timeout', { timeout: 60000 }, async (t) => {
  const s = await scene(t, { handshake_timeout: '1s' });
  const silent = await s.tcp(), half = await s.tcp(), loris = await s.tcp();
  await half.write('GET / HTTP/1.1\r\nHost: g\r\n');
  const drip = setInterval(() => loris.socket.write('G'), 100);
  t.after(() => clearInterval(drip));
  for (const c of [silent, half, loris]) await c.whenEnded(8000);
  assert.match(half.text(), /^HTTP\/1\.1 408 |^$/);
  await s.calm();
});

test('an idle client is pinged, and closed with 1001 "idle timeout" when nothing comes back', { timeout: 60000 }, async (t) => {
  const s = await scene(t, { ping_interval: '500ms', idle_timeout: '2s' });
  const c = await s.open();
  await c.until(() => c.frames().some((f) => f.opcode === PING), 5000, 'a ping');
  await c.until(() => c.closeCode() !== undefined, 10000, 'the close');
  const f = c.frames().find((x) => x.opcode === CLOSE);
  assert.deepEqual([c.closeCode(), f.payload.subarray(2).toString()], [1001, 'idle timeout']);
  await s.calm(); // whose client answered its pings
});

test('10,000 fragments of one byte: answered, and they cost no memory each', { timeout: 60000 }, async (t) => {
  const s = await scene(t);
  const [{ pid }] = s.hg.workers();
  const c = await s.open();
  const text = Buffer.from(`{"op":"ping","pad":"${'x'.repeat(load(10000))}"}`);
  const before = memoryOf(pid);
  for (let i = 0; i < text.length; i++) await c.write(frame(i === 0 ? TEXT : CONTINUATION, text.subarray(i, i + 1), { fin: i === text.length - 1 }));
  await c.until(() => pongs(c) === 1, 20000, 'the pong');
  for (let i = 0; i < load(10000); i++) await c.write(frame(i === 0 ? TEXT : CONTINUATION, '', { fin: false }));
  await c.write(frame(CONTINUATION, PING_OP));
  await c.until(() => pongs(c) === 2, 20000, 'the second pong');
  if (slowness() === 1) assert.ok(memoryOf(pid) - before < 4 << 20, `${memoryOf(pid) - before} bytes`);
  await s.calm();
});

test('floods of pings, of garbage, and peers that vanish in mid frame', { timeout: 120000 }, async (t) => {
  const s = await scene(t);
  const flood = await s.open();
  const pings = Buffer.concat(Array.from({ length: 200 }, () => frame(PING, 'x'.repeat(100))));
  flood.socket.pause(); // it does not read its pongs either
  for (let i = 0; i < load(500) && !flood.ended; i++) if (!flood.socket.write(pings)) await new Promise((r) => { flood.socket.once('drain', r); flood.socket.once('close', r); setTimeout(r, 200); });
  await s.calm();
  let x = 1;
  const noise = (n) => Buffer.from(Array.from({ length: n }, () => (x = (x * 1103515245 + 12345) & 0x7fffffff) >> 16 & 255));
  for (let i = 0; i < 50; i++) {
    const c = await s.open();
    await c.write(i % 2 ? noise(300) : frame(TEXT, noise(300).toString('latin1')));
    c.socket[i % 3 ? 'destroy' : 'resetAndDestroy']();
  }
  for (let i = 0; i < 50; i++) {
    const c = await s.open();
    await c.write(frame(TEXT, PING_OP).subarray(0, 1 + i % 12));
    c.socket.resetAndDestroy();
  }
  await s.calm();
  flood.destroy();
  await waitFor(async () => (await s.hg.metric('headgate_connections')) === 1, { what: 'the gauge to fall to the bystander' });
});
