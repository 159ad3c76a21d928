// Raw HTTP and WebSocket bytes over TCP, for what polite libraries refuse to send.
import net from 'node:net';
import { randomBytes } from 'node:crypto';
import { within } from './wait.mjs';

/** A TCP connection whose input is kept: { socket, bytes(), text(), ended, write(), whenEnded(), until(cond) }. */
export async function tcp(url) {
  const { hostname, port } = new URL(url);
  const socket = net.connect({ host: hostname, port: Number(port), noDelay: true });
  const chunks = [], watchers = new Set();
  const c = {
    socket, ended: false, error: undefined,
    bytes: () => Buffer.concat(chunks),
    text: () => c.bytes().toString('latin1'),
    write: (data) => new Promise((resolve) => socket.write(data, () => resolve())),
    until: (cond, ms = 10000, what = 'bytes') => within(new Promise((resolve) => {
      const look = () => {
        if (!cond(c)) return;
        watchers.delete(look);
        resolve(c);
      };
      watchers.add(look);
      look();
    }), ms, `${what}; got ${JSON.stringify(c.text().slice(0, 300))}`),
    whenEnded: (ms) => c.until(() => c.ended, ms, 'end of the connection'),
    destroy: () => socket.destroy(),
  };
  const wake = () => watchers.forEach((w) => w());
  socket.on('data', (d) => { chunks.push(d); wake(); });
  socket.on('end', () => { c.ended = true; wake(); });
  socket.on('close', () => { c.ended = true; wake(); });
  socket.on('error', (e) => { c.error = e; });
  await within(new Promise((resolve, reject) => { socket.once('connect', resolve); socket.once('error', reject); }), 10000, `TCP to ${url}`);
  return c;
}

/** Sends text as it is and reads one answer: { status, headers, body, closed } */
export async function exchange(url, text, { head = false } = {}) {
  const c = await tcp(url);
  await c.write(text);
  await c.until(() => c.ended || answer(c.text(), head), 10000, `an answer to ${JSON.stringify(text.slice(0, 80))}`);
  const a = answer(c.text(), head) ?? { status: 0, headers: {}, body: c.text() };
  c.destroy();
  return a;
}

function answer(text, head) {
  const end = text.indexOf('\r\n\r\n');
  if (end < 0) return undefined;
  const [first, ...lines] = text.slice(0, end).split('\r\n');
  const headers = Object.fromEntries(lines.map((l) => [l.slice(0, l.indexOf(':')).toLowerCase(), l.slice(l.indexOf(':') + 1).trim()]));
  const body = text.slice(end + 4);
  const length = Number(headers['content-length'] ?? 0);
  if (!head && body.length < length) return undefined;
  return { status: Number(first.split(' ')[1]), headers, body };
}

/** Text of an upgrade request; more replaces or (undefined) removes header fields. */
export function upgrade({ method = 'GET', path = '/', version = 'HTTP/1.1', headers = {} } = {}) {
  const all = {
    Host: 'gateway', Upgrade: 'websocket', Connection: 'Upgrade', 'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': randomBytes(16).toString('base64'), ...headers,
  };
  const lines = Object.entries(all).flatMap(([k, v]) => (v === undefined ? [] : [v].flat().map((x) => `${k}: ${x}`)));
  return `${method} ${path} ${version}\r\n${lines.join('\r\n')}\r\n\r\n`;
}

/** A client's frame, masked; every field can be wrong on purpose. */
export function frame(opcode, payload = Buffer.alloc(0), { fin = true, rsv = 0, mask = true, length } = {}) {
  const data = Buffer.from(payload);
  const key = mask ? randomBytes(4) : Buffer.alloc(0);
  let head;
  const first = (fin ? 0x80 : 0) | (rsv << 4) | opcode, m = mask ? 0x80 : 0;
  if (length) head = Buffer.concat([Buffer.from([first]), Buffer.from([m | length[0], ...length.slice(1)])]);
  else if (data.length < 126) head = Buffer.from([first, m | data.length]);
  else if (data.length < 65536) head = Buffer.from([first, m | 126, data.length >> 8, data.length & 255]);
  else {
    head = Buffer.alloc(10);
    head[0] = first;
    head[1] = m | 127;
    head.writeBigUInt64BE(BigInt(data.length), 2);
  }
  const body = Buffer.from(data);
  if (mask) for (let i = 0; i < body.length; i++) body[i] ^= key[i & 3];
  return Buffer.concat([head, key, body]);
}

export const TEXT = 1, BINARY = 2, CONTINUATION = 0, CLOSE = 8, PING = 9, PONG = 10;
export const closeFrame = (code, reason = '') => frame(CLOSE, Buffer.concat([Buffer.from([code >> 8, code & 255]), Buffer.from(reason)]));

/** Frames of the server in bytes: [{ opcode, fin, payload }]. */
export function serverFrames(bytes) {
  const frames = [];
  let at = 0;
  while (at + 2 <= bytes.length) {
    let length = bytes[at + 1] & 127, head = 2;
    if (length === 126) { if (at + 4 > bytes.length) break; length = bytes.readUInt16BE(at + 2); head = 4; }
    if (length === 127) { if (at + 10 > bytes.length) break; length = Number(bytes.readBigUInt64BE(at + 2)); head = 10; }
    if (at + head + length > bytes.length) break;
    frames.push({ fin: bytes[at] >= 128, rsv: (bytes[at] >> 4) & 7, opcode: bytes[at] & 15, masked: bytes[at + 1] >= 128, payload: bytes.subarray(at + head, at + head + length) });
    at += head + length;
  }
  return frames;
}

/** An open WebSocket spoken by hand: tcp() plus frames(), closeCode(), texts(). */
export async function rawWebSocket(url, options) {
  const c = await tcp(url);
  await c.write(upgrade(options));
  await c.until(() => c.ended || c.text().includes('\r\n\r\n'), 10000, 'the answer to the upgrade');
  if (!/^HTTP\/1\.1 101 /.test(c.text())) throw new Error(`no upgrade: ${c.text().slice(0, 200)}`);
  const start = c.bytes().indexOf('\r\n\r\n') + 4;
  c.frames = () => serverFrames(c.bytes().subarray(start));
  c.texts = () => c.frames().filter((f) => f.opcode === TEXT).map((f) => f.payload.toString());
  c.closeCode = () => {
    const f = c.frames().find((x) => x.opcode === CLOSE);
    return f && (f.payload.length >= 2 ? f.payload.readUInt16BE(0) : 0);
  };
  return c;
}
