// A subscriber of the soak that stays and is judged as it goes: every diff of its streams, once, in the order of the history,
// counted from its last snapshot. Keeps nothing of what it got. On overflow, failure or close it comes back as an app would.
import { Client } from '../support/client.mjs';

export class Steady {
  /** where: [{ table, hashId }]; query: fields of its subscribe. */
  constructor(db, url, where, query) {
    Object.assign(this, { db, url, where, query, faults: [], diffs: 0, snapshots: 0, again: 0, at: new Map(), ended: false });
  }

  /** Sums over a list of them. */
  static total(list) {
    const sum = (of) => list.reduce((n, s) => n + of(s), 0);
    return { diffs: sum((s) => s.diffs), snapshots: sum((s) => s.snapshots), again: sum((s) => s.again), faults: sum((s) => s.faults.length) };
  }

  async open() {
    const c = this.c = await Client.open(this.url);
    c.takeText = (text) => {
      if (text.startsWith('{"op"')) this.text(c, JSON.parse(text)); // others are broadcasts
    };
    c.takeDiff = (bytes) => this.diff(JSON.parse(bytes.toString()));
    c.ws.on('close', () => this.comeBack(c));
    for (const w of this.where) this.subscribe(w);
  }

  subscribe({ table, hashId }) {
    this.at.delete(hashId);
    this.c.send({ op: 'subscribe', table, hashId, ...this.query });
  }

  comeBack(c) {
    if (this.ended || this.c !== c) return;
    this.again++;
    this.at.clear();
    setTimeout(() => this.open().catch(() => this.comeBack(this.c)), 200);
  }

  stream(hashId) {
    const { table } = this.where.find((w) => w.hashId === hashId);
    return this.db.byStream.get(this.db.keyOf(table, hashId));
  }

  text(c, m) {
    if (m.op === 'snapshot') {
      this.snapshots++;
      const list = this.stream(m.hashId), fence = BigInt(m.cursor.lsn);
      let next = list.length;
      while (next > 0 && list[next - 1] > fence) next--;
      this.at.set(m.hashId, next);
    } else if (m.op === 'error' && (m.code === 'overflow' || m.code === 'snapshot_failed')) {
      this.again++;
      const dead = m.hashId === undefined ? this.where : this.where.filter((w) => w.hashId === m.hashId);
      setTimeout(() => {
        if (this.c === c && !c.closed) for (const w of dead) this.subscribe(w);
      }, 200);
    } else if (m.op === 'error') {
      this.faults.push(`${this.url}: ${text}`);
    } else if (m.op === 'diffB64') {
      this.diff(JSON.parse(Buffer.from(m.b64, 'base64').toString()));
    }
  }

  diff({ stream, lsn }) {
    const hashId = stream.slice(stream.indexOf('|') + 1), next = this.at.get(hashId);
    if (next === undefined) return; // of a subscription that was asked for again
    this.diffs++;
    const due = this.stream(hashId)[next];
    if (due === BigInt(lsn)) {
      this.at.set(hashId, next + 1);
      return;
    }
    this.faults.push(`${this.url} ${stream}: ${lsn} came where ${due} was due`);
    const found = this.stream(hashId).indexOf(BigInt(lsn));
    if (found >= 0) this.at.set(hashId, found + 1);
  }

  /** For people: where each stream is, and where it ought to be. */
  state() {
    return this.where.map((w) => `${w.hashId} ${this.at.get(w.hashId) ?? 'no snapshot'} of ${this.stream(w.hashId).length}`).join(', ');
  }

  /** Has it got everything there is? */
  isCurrent() {
    return this.where.every((w) => this.at.get(w.hashId) === this.stream(w.hashId).length);
  }

  terminate() {
    this.ended = true;
    this.c.terminate();
  }
}
