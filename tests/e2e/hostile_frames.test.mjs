// Every frame that RFC 6455 forbids a client, against the real gateway: the right close code, what was good before it
// answered, the connection ended by the gateway, nothing felt by a bystander on the same worker. The rows are named by
// section. Cutting frames at every byte is tested in tests/proto/ws_msg_test.c; here each row goes whole and bytewise.
// Not tested here: the opening handshake (hostile_handshake), what messages mean.
import test from 'node:test';
import assert from 'node:assert/strict';
import { bystander } from '../support/bystander.mjs';
import { startHeadgate } from '../support/headgate.mjs';
import { BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, closeFrame, frame, rawWebSocket } from '../support/http.mjs';
import { memoryOf } from '../support/proc.mjs';
import { random } from '../support/stage.mjs';
import { load, slowness, waitFor } from '../support/wait.mjs';

const LIMIT = 65536;
const PROTOCOL = 1002, NOT_UTF8 = 1007, TOO_BIG = 1009;
const bytes = (...list) => Buffer.from(list);
const part = (payload, more = {}) => frame(CONTINUATION, payload, { fin: false, ...more });
const start = (opcode, payload, more = {}) => frame(opcode, payload, { fin: false, ...more });
const last = (payload) => frame(CONTINUATION, payload);
const closing = (...list) => frame(CLOSE, bytes(...list));
const hex = (text) => Buffer.from(text.replaceAll(' ', ''), 'hex');
const A125 = 'a'.repeat(125);

// [section and case, what the client sends, what it hears before the close, close code (0: an empty close frame)]
const rows = [
  ['5.1 unmasked text', [frame(TEXT, 'Hello', { mask: false })], [], PROTOCOL],
  ['5.1 unmasked empty ping', [frame(PING, '', { mask: false })], [], PROTOCOL],
  ['5.1 unmasked close', [frame(CLOSE, bytes(3, 232), { mask: false })], [], PROTOCOL],
  ['5.1 masked, then unmasked', [frame(TEXT, 'a'), frame(TEXT, 'b', { mask: false })], ['T:a'], PROTOCOL],
  ['5.3 mask of zeros', [hex('81 82 00000000 6f6b')], ['T:ok']],
  ['5.7 the masked Hello of the RFC', [hex('81 85 37fa213d 7f9f4d5158')], ['T:Hello']],
  ...[1, 2, 3, 4, 5, 6, 7].map((rsv) => [`5.2 reserved bits ${rsv}`, [frame(TEXT, 'x', { rsv })], [], PROTOCOL]),
  ['5.2 reserved bit on a ping', [frame(PING, '', { rsv: 4 })], [], PROTOCOL],
  ['5.2 reserved bit on a continuation', [start(TEXT, 'a'), frame(CONTINUATION, 'b', { rsv: 4 })], [], PROTOCOL],
  ...[3, 4, 5, 6, 7, 11, 12, 13, 14, 15].map((opcode) => [`5.2 opcode ${opcode}`, [frame(opcode, '')], [], PROTOCOL]),
  ['5.2 opcode 3 inside a message', [start(TEXT, 'a'), frame(3, 'b')], [], PROTOCOL],
  ['5.2 two-byte length below 126', [hex('82 fe 007d 01020304')], [], PROTOCOL],
  ['5.2 two-byte length of 0', [hex('81 fe 0000 01020304')], [], PROTOCOL],
  ['5.2 eight-byte length below 65536', [hex('82 ff 000000000000ffff 01020304')], [], PROTOCOL],
  ['5.2 eight-byte length, top bit', [hex('82 ff 8000000000000001 01020304')], [], PROTOCOL],
  ['5.2 eight-byte length, all ones', [hex('82 ff ffffffffffffffff 01020304')], [], PROTOCOL],
  ['5.2 length 125', [frame(BINARY, A125)], [`B:${A125}`]],
  ['5.2 length 126', [frame(BINARY, `${A125}b`)], [`B:${A125}b`]],
  ['5.4 empty text', [frame(TEXT)], ['T:']],
  ['5.4 two fragments', [start(TEXT, 'Hel'), last('lo')], ['T:Hello']],
  ['5.4 empty fragments', [start(BINARY, ''), part(''), part('a'), part(''), last('')], ['B:a']],
  ['5.4 ping between fragments', [start(TEXT, 'Hel'), frame(PING, 'p'), last('lo')], ['O:p', 'T:Hello']],
  ['5.4 close between fragments', [start(TEXT, 'Hel'), closeFrame(1000)], [], 1000],
  ['5.4 continuation without a start', [last('x')], [], PROTOCOL],
  ['5.4 continuation without a start, unfinished', [part('x')], [], PROTOCOL],
  ['5.4 continuation after a whole message', [frame(TEXT, 'a'), last('b')], ['T:a'], PROTOCOL],
  ['5.4 text inside a message', [start(TEXT, 'a'), frame(TEXT, 'b')], [], PROTOCOL],
  ['5.4 binary inside a text', [start(TEXT, 'a'), start(BINARY, 'b')], [], PROTOCOL],
  ['5.5 ping of 125', [frame(PING, A125)], [`O:${A125}`]],
  ['5.5 ping of 126', [frame(PING, `${A125}b`)], [], PROTOCOL],
  ['5.5 pong of 126', [frame(PONG, `${A125}b`)], [], PROTOCOL],
  ['5.5 close of 126', [closeFrame(1000, `${A125}b`)], [], PROTOCOL],
  ['5.5 ping with an eight-byte length', [hex('89 ff 0000000000000001 01020304 00')], [], PROTOCOL],
  ['5.5 fragmented ping', [start(PING, 'a'), last('b')], [], PROTOCOL],
  ['5.5 fragmented close', [start(CLOSE, bytes(3, 232))], [], PROTOCOL],
  ['5.5 fragmented pong inside a message', [start(TEXT, 'a'), start(PONG, '')], [], PROTOCOL],
  ['5.5.1 empty close', [frame(CLOSE)], [], 0],
  ['5.5.1 close with a reason', [closeFrame(1000, 'bye')], [], 1000],
  ['5.5.1 longest reason', [closeFrame(4000, 'r'.repeat(123))], [], 4000],
  ['5.5.1 close of one byte', [closing(3)], [], PROTOCOL],
  ['5.5.1 reason not UTF-8', [closing(3, 232, 0xc0, 0xaf)], [], NOT_UTF8],
  ['5.5.1 nothing counts after a close', [closeFrame(1000), frame(TEXT, 'x'), frame(PING, 'y'), frame(3, '')], [], 1000],
  ['5.5.2 ping of any bytes', [frame(PING, bytes(0xff, 0, 0xfe))], ['O:\xff\0\xfe']],
  ['5.5.3 pong nobody asked for', [frame(PONG, 'p'), frame(TEXT, 'x')], ['T:x']],
  ...[0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535]
    .map((code) => [`7.4 close code ${code}`, [closeFrame(code)], [], PROTOCOL]),
  ...[1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999]
    .map((code) => [`7.4 close code ${code}`, [closeFrame(code)], [], code]),
  ['8.1 character over fragments', [start(TEXT, bytes(0xf0, 0x9f)), part(bytes(0x98)), last(bytes(0x80))], ['T:\xf0\x9f\x98\x80']],
  ['8.1 bad byte', [frame(TEXT, bytes(97, 0xff))], [], NOT_UTF8],
  ['8.1 overlong', [frame(TEXT, bytes(0xc0, 0xaf))], [], NOT_UTF8],
  ['8.1 surrogate', [frame(TEXT, bytes(0xed, 0xa0, 0x80))], [], NOT_UTF8],
  ['8.1 above U+10FFFF', [frame(TEXT, bytes(0xf4, 0x90, 0x80, 0x80))], [], NOT_UTF8],
  ['8.1 cut at the end', [frame(TEXT, bytes(97, 0xc3))], [], NOT_UTF8],
  ['8.1 cut at the end of the last fragment', [start(TEXT, bytes(0xe2, 0x82)), last('')], [], NOT_UTF8],
  ['8.1 bad byte in a fragment, the message unfinished', [start(TEXT, bytes(0xed, 0xa0))], [], NOT_UTF8],
  ['8.1 bad byte, the frame unfinished', [Buffer.concat([hex('81 fe 0100 00000000'), bytes(97, 98, 0xc0)])], [], NOT_UTF8],
  ['8.1 binary is not checked', [frame(BINARY, bytes(0xff, 0xc0))], ['B:\xff\xc0']],
  ['10.4 one byte above the limit, header only', [hex('82 ff 0000000000010001 01020304')], [], TOO_BIG],
  ['10.4 the longest length there is, header only', [hex('82 ff 7fffffffffffffff 01020304')], [], TOO_BIG],
  ['10.4 fragments above the limit together', [start(BINARY, Buffer.alloc(LIMIT)), hex('80 81')], [], TOO_BIG, 'whole'],
  ['10.4 just the limit', [frame(BINARY, Buffer.alloc(LIMIT, 'z'))], [`B:${'z'.repeat(LIMIT)}`], undefined, 'whole'],
];

const letters = { [TEXT]: 'T', [BINARY]: 'B', [PING]: 'P', [PONG]: 'O' };
const story = (frames) => frames.filter((f) => f.opcode !== CLOSE).map((f) => `${letters[f.opcode] ?? `?${f.opcode}`}:${f.payload.toString('latin1')}`);

/** Starts a gateway with the raw echo resource, one worker, and a bystander on it. */
async function scene(t, options = {}) {
  const hg = await startHeadgate({
    until: 'live', expectErrors: [/kafka/i],
    options: { workers: 1, echo_path: '/echo', max_message: LIMIT, kafka_brokers: '127.0.0.1:1', ...options },
  });
  const by = await bystander(hg);
  t.after(async () => {
    await by.leave();
    await hg.stop();
  });
  return { hg, by, open: () => rawWebSocket(hg.url, { path: '/echo' }) };
}

/** Until the gateway has ended the connection; gives the frames it sent. */
async function outcome(c, what) {
  await c.until(() => c.ended, 15000 * slowness(), `end of the connection: ${what}`);
  const frames = c.frames();
  c.destroy();
  for (const f of frames) assert.deepEqual([f.fin, f.rsv, f.masked], [true, 0, false], `${what}: a frame of ours`);
  const at = frames.findIndex((f) => f.opcode === CLOSE);
  assert.equal(at, frames.length - 1, `${what}: a close frame comes last, and once`);
  const { payload } = frames[at];
  return { before: story(frames), code: payload.length ? payload.readUInt16BE(0) : 0, reason: payload.subarray(2).toString() };
}

async function play({ open }, [what, sent, before, code], bytewise) {
  const c = await open();
  const all = Buffer.concat(code === undefined ? [...sent, closeFrame(1000)] : sent);
  if (bytewise) for (const byte of all) await c.write(bytes(byte));
  else await c.write(all);
  const got = await outcome(c, what);
  assert.deepEqual(got.before, before, `${what}: what comes before the close`);
  assert.equal(got.code, code ?? 1000, `${what}: close code`);
}

test('each forbidden frame gets its close code, each allowed one its answer', { timeout: 240000 }, async (t) => {
  const s = await scene(t), faults = [];
  for (const row of rows) {
    for (const bytewise of row[4] === 'whole' ? [false] : [false, true]) {
      await play(s, row, bytewise).catch((error) => faults.push(`${bytewise ? 'bytewise ' : ''}${error.message}`));
    }
    await s.by.unharmed(row[0]);
  }
  assert.equal(faults.length, 0, faults.join('\n'));
});

test('10,000 tiny fragments are one message; empty ones cost no memory', { timeout: 120000 }, async (t) => {
  const s = await scene(t, { control_rate: 0 });
  const c = await s.open();
  await c.write(Buffer.concat([start(TEXT, ''), ...Array.from({ length: 10000 }, (_, i) => part(String(i % 10))), last('')]));
  await c.until(() => c.frames().length === 1);
  assert.equal(c.texts()[0], '0123456789'.repeat(1000));
  await s.by.unharmed('fragments of one byte');

  const [{ pid }] = s.hg.workers();
  const before = memoryOf(pid), n = load(400000, 50000);
  await c.write(start(TEXT, ''));
  const block = Buffer.concat(Array.from({ length: 1000 }, () => part('')));
  for (let i = 0; i < n / 1000; i++) await c.write(block);
  await c.write(last('end'));
  await c.until(() => c.frames().length === 2, 60000);
  assert.equal(c.texts()[1], 'end');
  const grown = memoryOf(pid) - before;
  assert.ok(grown < (8 << 20) * slowness(), `${n} empty fragments cost ${grown} bytes`);
  await s.by.unharmed('empty fragments');
  c.destroy();
});

test('a message far above the limit is refused with 1009, also while its sender goes on sending', { timeout: 60000 }, async (t) => {
  const s = await scene(t);
  for (const size of [LIMIT + 1, 1 << 20, 8 << 20]) {
    const c = await s.open();
    c.write(frame(BINARY, Buffer.alloc(size)));
    const got = await outcome(c, `${size} bytes`);
    assert.equal(got.code, TOO_BIG);
    assert.ok(got.reason.length > 0, 'the close says why');
    await s.by.unharmed(`a message of ${size} bytes`);
  }
});

const onlyBystander = (hg) => waitFor(async () => (await (await fetch(`${hg.http}/health`)).json()).connections === 1,
  { what: 'only the bystander is left' });

test('peers that reset or end in mid frame leave nothing behind', { timeout: 60000 }, async (t) => {
  const s = await scene(t); // idle_timeout is a minute here: the end itself must be seen
  for (let i = 0; i < 200; i++) {
    const c = await s.open();
    const some = frame(BINARY, Buffer.alloc(1000)).subarray(0, 1 + i * 5);
    if (i % 2) {
      await c.write(some);
      c.socket.resetAndDestroy();
    } else {
      c.socket.end(some); // data and FIN come together
      await c.until(() => c.ended, 10000, `end of the connection after ${some.length} bytes of a frame`);
    }
  }
  await onlyBystander(s.hg);
  await s.by.unharmed('ends in mid frame');
});

test('a peer that says nothing more, not even to a ping, is closed with 1001', { timeout: 60000 }, async (t) => {
  const s = await scene(t, { ping_interval: '500ms', idle_timeout: '2s' });
  const c = await s.open(); // as a half-open connection: it neither answers nor ends
  const got = await outcome(c, 'a mute peer');
  assert.deepEqual([got.code, got.reason], [1001, 'idle timeout']);
  assert.ok(got.before.length > 0 && got.before.every((f) => f === 'P:'), 'it was asked first');
  await s.by.unharmed('a mute peer');
  await onlyBystander(s.hg);
});

test('more pings, pongs or empty fragments than control_rate are a flood: 1008; fewer are not', { timeout: 120000 }, async (t) => {
  const s = await scene(t, { control_rate: 400 });
  const floods = [['pings', () => frame(PING, 'p')], ['pongs', () => frame(PONG, 'p')], ['empty fragments', () => part('')]];
  for (const [what, make] of floods) {
    const modest = await s.open(), c = await s.open();
    for (const k of [modest, c]) await k.write(start(TEXT, ''));
    await modest.write(Buffer.concat(Array.from({ length: 99 }, make)));
    await modest.write(last('still here'));
    await modest.until(() => modest.texts().includes('still here'));
    await c.write(Buffer.concat(Array.from({ length: 1000 }, make)));
    await c.until(() => c.ended, 20000);
    assert.equal(c.closeCode(), 1008, what);
    for (const k of [modest, c]) k.destroy();
    await s.by.unharmed(what);
  }
});

test('a flood of pings is answered or refused, and delays nobody', { timeout: 120000 }, async (t) => {
  const s = await scene(t);
  const c = await s.open(), n = load(50000, 5000);
  const block = Buffer.concat(Array.from({ length: 500 }, (_, i) => frame(PING, `${i % 500}`.padStart(100, '-'))));
  for (let i = 0; i < n / 500; i++) await c.write(block);
  await c.write(frame(TEXT, 'after the flood'));
  await c.until(() => c.ended || c.texts().includes('after the flood'), 60000);
  if (c.ended) assert.ok([1008, 1013].includes(c.closeCode()), `closed with ${c.closeCode()}`);
  c.destroy();
  await s.by.unharmed('a flood of pings');
});

test('random bytes end in a close code of ours', { timeout: 120000 }, async (t) => {
  const s = await scene(t);
  const rnd = random(6455);
  for (let i = 0; i < load(300, 60); i++) {
    const c = await s.open();
    // Bits 0x80 and 0x0f of the first byte and the mask bit are kept likely, so that not all die at once.
    const junk = Buffer.from(Array.from({ length: 40 + rnd(300) }, () => rnd(256)));
    if (rnd(3)) junk[0] = [0x81, 0x82, 0x01, 0x89, 0x88][rnd(5)];
    if (rnd(3)) junk[1] = 0x80 | rnd(100);
    await c.write(Buffer.concat([junk, frame(PING, 'last'), closeFrame(1000)]));
    c.socket.end();
    await c.until(() => c.ended, 15000, `end after ${junk.toString('hex')}`);
    const code = c.closeCode();
    assert.ok([undefined, 0, 1000, PROTOCOL, NOT_UTF8, TOO_BIG].includes(code) || (code >= 1000 && code < 5000), `${code} after ${junk.toString('hex')}`);
    c.destroy();
  }
  await s.by.unharmed('random bytes');
});
