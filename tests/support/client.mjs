// A WebSocket client as an app has it (library ws), with awaits for what the gateway says.
// Frames are kept per subscription: a diff's payload is the tests' own JSON (support/database.mjs), so that a raw
// binary frame, which carries no name, tells which stream it belongs to.
import { once } from 'node:events';
import { WebSocket } from 'ws';
import { waitFor, within } from './wait.mjs';

export class Client {
  /** Opens a connection; resolves when the handshake is done. `localIp` binds the client's end. */
  static async open(url, { protocols = [], headers = {}, localIp, handshakeTimeout = 20000 } = {}) {
    const c = new Client(new WebSocket(url, protocols, { headers, localAddress: localIp, handshakeTimeout, perMessageDeflate: false }));
    await within(Promise.race([once(c.ws, 'open'), once(c.ws, 'error').then(([e]) => { throw e; })]), handshakeTimeout, `handshake with ${url}`);
    c.localPort = c.ws._socket.localPort;
    return c;
  }

  constructor(ws) {
    this.ws = ws;
    this.messages = []; // text frames as objects, in order
    this.subs = new Map(); // hashId -> { acks, snapshots, diffs: [{ lsn, data }], errors, events }
    this.watchers = new Set();
    this.binary = 0;
    this.onDiff = undefined;
    ws.on('error', (error) => { this.error = error; });
    ws.on('close', (code, reason) => {
      this.closed = { code, reason: reason.toString() };
      this.wake();
    });
    ws.on('message', (data, isBinary) => {
      if (isBinary) this.takeDiff(data);
      else this.takeText(data.toString());
      this.wake();
    });
  }

  sub(hashId) {
    let s = this.subs.get(hashId);
    if (!s) {
      s = { hashId, acks: [], snapshots: [], diffs: [], errors: [], events: [] };
      this.subs.set(hashId, s);
    }
    return s;
  }

  takeDiff(bytes, hashId) {
    this.binary++;
    if (this.rawBinary) {
      this.rawBinary(bytes);
      return;
    }
    const data = JSON.parse(bytes.toString());
    const s = this.sub(hashId ?? data.stream.slice(data.stream.indexOf('|') + 1));
    const diff = { lsn: BigInt(data.lsn), data };
    s.diffs.push(diff);
    this.onDiff?.(diff, s);
  }

  takeText(text) {
    let m;
    try {
      m = JSON.parse(text);
    } catch {
      m = { text }; // a broadcast is delivered as it is
    }
    if (m === null || typeof m !== 'object') m = { text };
    this.messages.push(m);
    if (m.op === 'ack') this.sub(m.hashId).acks.push(m);
    else if (m.op === 'snapshot') this.sub(m.hashId).snapshots.push({ ...m, lsn: BigInt(m.cursor.lsn), at: this.sub(m.hashId).diffs.length });
    else if (m.op === 'rowEvent') this.sub(m.hashId).events.push(m);
    else if (m.op === 'error' && m.hashId !== undefined) this.sub(m.hashId).errors.push(m);
    else if (m.op === 'diffB64') this.takeDiff(Buffer.from(m.b64, 'base64'), m.hashId);
  }

  wake() {
    for (const w of this.watchers) w();
  }

  /** Resolves when cond() is truthy; looks at every frame. */
  until(cond, { ms = 20000, what = 'frame' } = {}) {
    return within(new Promise((resolve, reject) => {
      const look = () => {
        try {
          const value = cond();
          if (!value) return;
          this.watchers.delete(look);
          resolve(value);
        } catch (error) {
          this.watchers.delete(look);
          reject(error);
        }
      };
      this.watchers.add(look);
      look();
    }), ms, what);
  }

  send(message) {
    this.ws.send(typeof message === 'string' || Buffer.isBuffer(message) ? message : JSON.stringify(message));
  }

  /** First message that `match` (an object of fields, or a function) fits, from index `from` on. */
  message(match, { from = 0, ms } = {}) {
    const fits = typeof match === 'function' ? match : (m) => Object.entries(match).every(([k, v]) => m[k] === v);
    return this.until(() => {
      const found = this.messages.slice(from).find(fits);
      if (!found && this.closed) throw new Error(`closed with ${this.closed.code} ${this.closed.reason} before ${JSON.stringify(match)}`);
      return found;
    }, { ms, what: `message ${typeof match === 'function' ? match : JSON.stringify(match)}, got ${JSON.stringify(this.messages.slice(-5))}` });
  }

  /** Sends a subscribe and waits for ack and snapshot; throws the error frame's text if there is one. */
  async subscribe(table, hashId, more = {}, ms = 30000) {
    const s = this.sub(hashId);
    const { acks, snapshots, errors } = { acks: s.acks.length, snapshots: s.snapshots.length, errors: s.errors.length };
    this.send({ op: 'subscribe', table, hashId, queryJson: '{}', ...more });
    await this.until(() => {
      if (this.closed) throw new Error(`closed with ${this.closed.code} during subscribe ${hashId}`);
      if (s.errors.length > errors) throw new Error(`${s.errors.at(-1).code}: ${s.errors.at(-1).message}`);
      return s.acks.length > acks && s.snapshots.length > snapshots;
    }, { ms, what: `ack and snapshot of ${hashId} (${s.acks.length - acks} acks)` });
    return s.snapshots.at(-1);
  }

  unsubscribe(table, hashId) {
    this.send({ op: 'unsubscribe', table, hashId });
  }

  /** Everything sent before is handled when its pong is there. */
  async ping(ms) {
    const pongs = () => this.messages.filter((m) => m.op === 'pong').length;
    const before = pongs();
    this.send({ op: 'ping' });
    await this.until(() => pongs() > before, { ms, what: 'pong' });
  }

  whenClosed(ms = 30000) {
    return this.until(() => this.closed, { ms, what: 'close' });
  }

  async close(code = 1000) {
    if (!this.closed) {
      this.ws.close(code);
      await this.whenClosed(10000).catch(() => this.ws.terminate());
    }
  }

  /** Stops reading from the socket; resume() goes on. */
  pause() { this.ws._socket.pause(); }
  resume() { this.ws._socket.resume(); }
  terminate() { this.ws.terminate(); }
}

/** Opens n clients, `width` handshakes at a time. */
export async function openClients(n, urlOf, options = {}, width = 25) {
  const clients = new Array(n);
  let next = 0;
  await Promise.all(Array.from({ length: Math.min(width, n) }, async () => {
    while (next < n) {
      const i = next++;
      clients[i] = await Client.open(typeof urlOf === 'function' ? urlOf(i) : urlOf, options);
    }
  }));
  return clients;
}

export const closeAll = (clients) => Promise.all(clients.map((c) => c.close()));

/** Clients spread so that every worker of hg has at least `each`: { pid: [clients] }; opens more until it is so. */
export async function clientsOnEachWorker(hg, each, ownerOf, most = 200) {
  const pids = hg.workers().map((w) => w.pid);
  const byPid = new Map(pids.map((pid) => [pid, []]));
  for (let i = 0; i < most; i++) {
    if ([...byPid.values()].every((list) => list.length >= each)) return byPid;
    const c = await Client.open(hg.url);
    const pid = await waitFor(() => ownerOf(pids, c.localPort), { what: 'the worker of a connection' });
    byPid.get(pid).push(c);
  }
  throw new Error(`${most} connections did not reach every worker ${each} times`);
}
