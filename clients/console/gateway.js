// The connection: opens the WebSocket, keeps it open (full-jitter back-off), tells what comes in as events.
//
//   state      { state: 'connecting' | 'open' | 'waiting' | 'stopped', seconds?, why? }
//   frame      { out, kind: 'text' | 'binary', size, text | bytes }     every frame, for the log
//   op         an op frame of the server, parsed
//   typed      a typed frame ({ type, data, timestamp })
//   broadcast  { text } or { bytes }: whatever is neither
//   binary     Uint8Array: a diff, or a broadcast of bytes; who listens decides (preventDefault says it was a diff)

const BACKOFF_FIRST = 250, BACKOFF_CAP = 15000, STABLE_AFTER = 10000, PING_EVERY = 5000, CALL_TIMEOUT = 15000;
const OPS = new Set(['ack', 'snapshot', 'resumed', 'rangeIndex', 'diff', 'diffB64', 'rowEvent', 'error', 'rpcResult', 'pong', 'joined', 'left']);
const TYPES = new Set(['welcome', 'user_joined', 'user_left', 'pong', 'echo_response', 'broadcast_message', 'status', 'error']);

export class Gateway extends EventTarget {
  constructor(url) {
    super();
    this.url = url;
    this.attempt = 0;
    this.calls = new Map(); // correlation id -> { resolve, reject, timer }
    this.nextCall = 1;
    addEventListener('online', () => this.retryNow());
  }

  get open() { return this.socket?.readyState === WebSocket.OPEN; }

  emit(type, detail) {
    const e = new CustomEvent(type, { detail, cancelable: true });
    return this.dispatchEvent(e);
  }

  connect() {
    clearTimeout(this.retry);
    this.emit('state', { state: 'connecting' });
    const s = this.socket = new WebSocket(this.url);
    s.binaryType = 'arraybuffer';
    s.onopen = () => s === this.socket && this.onOpen();
    s.onmessage = (e) => s === this.socket && this.onMessage(e.data);
    s.onclose = (e) => s === this.socket && this.onClose(e);
  }

  onOpen() {
    // A connection that dies at once must not reset the back-off, or a restart becomes a storm.
    this.stable = setTimeout(() => { this.attempt = 0; }, STABLE_AFTER);
    this.pinger = setInterval(() => this.ping(), PING_EVERY);
    this.pingAt = undefined;
    this.emit('state', { state: 'open' });
    this.ping();
  }

  onClose(e) {
    clearTimeout(this.stable);
    clearInterval(this.pinger);
    for (const c of this.calls.values()) { clearTimeout(c.timer); c.reject(new Error('the connection closed')); }
    this.calls.clear();
    const why = e.reason || { 1001: 'going away', 1006: 'connection lost', 1012: 'restarting', 1013: 'try later' }[e.code] || `code ${e.code}`;
    if (e.code >= 4000 && e.code < 4100) {
      this.emit('state', { state: 'stopped', why });
      return;
    }
    // Full jitter: the cap first, then a random share of it, so that a thousand tabs do not come back together.
    const ms = e.code >= 4200 && e.code < 4300 ? 0 : Math.random() * Math.min(BACKOFF_CAP, BACKOFF_FIRST * 2 ** this.attempt++);
    this.emit('state', { state: 'waiting', seconds: ms / 1000, why });
    this.retry = setTimeout(() => this.connect(), ms);
  }

  retryNow() {
    if (this.open || this.socket?.readyState === WebSocket.CONNECTING) return;
    this.attempt = 0;
    this.connect();
  }

  /** Closes this connection and opens another at once. */
  reconnect() {
    this.attempt = 0;
    const old = this.socket;
    this.socket = undefined;
    this.onClose({ code: 4200, reason: 'by hand' });
    old?.close(1000);
  }

  send(message) {
    if (!this.open) return false;
    const text = JSON.stringify(message);
    this.socket.send(text);
    this.emit('frame', { out: true, kind: 'text', size: text.length, text });
    return true;
  }

  ping() {
    if (this.pingAt !== undefined) return; // no answer yet: the latency of that one still counts
    this.pingAt = performance.now();
    this.send({ op: 'ping' });
  }

  /** RPC; resolves to the result's data. */
  call(method, table, payload) {
    return new Promise((resolve, reject) => {
      const correlationId = `console-${this.nextCall++}`;
      if (!this.send({ op: 'rpc', method, table, payload, correlationId })) return reject(new Error('not connected'));
      const timer = setTimeout(() => { this.calls.delete(correlationId); reject(new Error('no answer')); }, CALL_TIMEOUT);
      this.calls.set(correlationId, { resolve, reject, timer });
    });
  }

  onMessage(data) {
    if (typeof data !== 'string') {
      const b = new Uint8Array(data);
      this.emit('frame', { kind: 'binary', size: b.length, bytes: b });
      if (this.emit('binary', b)) this.emit('broadcast', { bytes: b });
      return;
    }
    this.emit('frame', { kind: 'text', size: data.length, text: data });
    let m;
    try { m = JSON.parse(data); } catch { m = undefined; }
    if (OPS.has(m?.op)) this.onOp(m);
    else if (TYPES.has(m?.type)) this.emit('typed', m);
    else this.emit('broadcast', { text: data });
  }

  onOp(m) {
    if (m.op === 'pong' && this.pingAt !== undefined) {
      this.emit('latency', performance.now() - this.pingAt);
      this.pingAt = undefined;
    } else if (m.op === 'rpcResult') {
      const c = this.calls.get(m.correlationId);
      if (!c) return;
      this.calls.delete(m.correlationId);
      clearTimeout(c.timer);
      if (m.ok) c.resolve(m.data);
      else c.reject(new Error(m.error ?? 'refused'));
    } else {
      this.emit('op', m);
    }
  }
}
