// The tests' database: tables in memory, a log of every change (the true history), its change source (diffs to Kafka) and
// its SQL worker (GET_DATA answered over Kafka).
// One commit = one LSN = one diff. A table has one stream per hashId; rows carry the LSN of their last change, so that a
// client's view can be compared with the truth at any position.
// A replica is the same history, applied late; what it answers it reads at its own position.
import { Partitioners } from 'kafkajs';
import { kafkaClient } from './kafka.mjs';
import { decodeRequest, encodeReply } from './sqlwire.mjs';

const key = (tenant, table, hashId) => `${tenant}_${table}|${hashId}`;

/** The LSN header in either encoding. */
export function lsnHeader(lsn, encoding) {
  if (encoding === 'text') return String(lsn);
  const b = Buffer.alloc(8);
  b.writeBigUInt64BE(BigInt(lsn));
  return b;
}

export class Database {
  /** topics: of ownTopics(). encoding of the LSN header: 'binary', 'text' or 'both' (by turns). bare: records are keyed by the
   *  hashId alone, as v1 and v2 have them. bareTables: those of these tables are, and go to topics.bare. */
  constructor(brokers, topics, { tenant = 'demo', encoding = 'both', firstLsn = 1000n, bare = false, bareTables = [] } = {}) {
    Object.assign(this, { brokers, topics, tenant, encoding, bare, bareTables: new Set(bareTables) });
    this.lsn = firstLsn;
    this.tables = new Map(); // table -> Map(id -> row)
    this.history = []; // { lsn, table, hashId, id, row, at }
    this.byStream = new Map(); // routing key -> [lsn ...]
    this.outbox = [];
    this.kafka = kafkaClient(brokers);
  }

  keyOf(table, hashId) { return this.bare || this.bareTables.has(table) ? hashId : key(this.tenant, table, hashId); }

  rows(table) {
    let t = this.tables.get(table);
    if (!t) this.tables.set(table, t = new Map());
    return t;
  }

  /** Changes one row and queues its diff; returns the history entry. `bytes` pads the diff. */
  commit(table, hashId, id, fields, { bytes = 0 } = {}) {
    const lsn = ++this.lsn;
    const row = { id, ...fields, lsn: String(lsn) };
    this.rows(table).set(id, row);
    const stream = this.keyOf(table, hashId);
    const entry = { lsn, table, hashId, stream, id, row, at: Date.now() };
    this.history.push(entry);
    if (!this.byStream.has(stream)) this.byStream.set(stream, []);
    this.byStream.get(stream).push(lsn);
    const value = { stream, lsn: String(lsn), id, row };
    if (bytes) value.pad = 'x'.repeat(bytes);
    const encoding = this.encoding === 'both' ? (lsn % 2n ? 'text' : 'binary') : this.encoding;
    const topic = this.bareTables.has(table) ? this.topics.bare : this.topics.diffs;
    this.outbox.push({ topic, key: stream, value: JSON.stringify(value), headers: { lsn: lsnHeader(lsn, encoding) } });
    return entry;
  }

  /** LSNs of a stream after `after`. */
  lsnsAfter(table, hashId, after) {
    return (this.byStream.get(this.keyOf(table, hashId)) ?? []).filter((lsn) => lsn > after);
  }

  // --- change source ---

  async connect() {
    this.producer = this.kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner, allowAutoTopicCreation: false });
    await this.producer.connect();
  }

  /** Produces what is in the outbox, in order, one batch after the other; resolves when all of it is in the log. */
  flush(batch = 2000) {
    this.flushing = (this.flushing ?? Promise.resolve()).then(async () => {
      while (this.outbox.length > 0) {
        const messages = this.outbox.splice(0, batch), of = (topic) => messages.filter((m) => m.topic === topic);
        const topicMessages = [...new Set(messages.map((m) => m.topic))].map((topic) => ({ topic, messages: of(topic) }));
        await this.producer.sendBatch({ topicMessages, acks: -1 });
      }
    });
    return this.flushing;
  }

  // --- SQL worker ---

  /**
   * Answers calls until close(). behaviour, any of it a value or a function of the request:
   *   delayMs    before the rows are read (the call takes as long)
   *   replica    { lagMs } rows of a replica that applies changes so late; otherwise of the primary
   *   nameLsn    the reply says snapshot-lsn
   *   fail       text: ok = false; 'malformed': bytes that are no FlatBuffer; 'silent': no reply
   *   reply      what to answer instead: fields of encodeReply, bytes, or a list of such (null: a tombstone), sent in order
   */
  async serve(behaviour = {}) {
    this.behaviour = behaviour;
    this.calls = [];
    this.answers = new Set(); // being written
    this.applied = 0; // entries of history the replica has
    this.replicaTables = new Map();
    this.replies = this.kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner, allowAutoTopicCreation: false });
    this.consumer = this.kafka.consumer({ groupId: `sqlworker-${this.topics.tag}`, maxWaitTimeInMs: 100, sessionTimeout: 10000 });
    await Promise.all([this.replies.connect(), this.consumer.connect()]);
    await this.consumer.subscribe({ topic: this.topics.requests, fromBeginning: true });
    const joined = new Promise((resolve) => this.consumer.on(this.consumer.events.GROUP_JOIN, resolve));
    await this.consumer.run({
      partitionsConsumedConcurrently: 4,
      eachMessage: async ({ message }) => {
        if (!message.value) return;
        const request = Object.assign(decodeRequest(message.value), { key: message.key?.toString(), headers: message.headers });
        const answer = this.answer(request).catch((error) => { this.workerError ??= error; }).finally(() => this.answers.delete(answer));
        this.answers.add(answer);
      },
    });
    await joined;
  }

  setting(name, request) {
    const value = this.behaviour[name];
    return typeof value === 'function' ? value(request) : value;
  }

  async answer(request) {
    this.calls.push(request);
    const delay = this.setting('delayMs', request);
    if (delay) await new Promise((r) => setTimeout(r, delay));
    const fail = this.setting('fail', request);
    if (fail === 'silent') return;
    const reply = this.setting('reply', request);
    if (reply) {
      const messages = [reply].flat().map((r) => ({ key: request.correlationId, value: r === null || Buffer.isBuffer(r) ? r : encodeReply({ correlationId: request.correlationId, ...r }) }));
      await this.replies.send({ topic: request.replyTopic, messages, acks: 1 });
      return;
    }
    const value = fail === 'malformed' ? Buffer.from('no flatbuffer, only text of some length') : this.replyTo(request, fail);
    const headers = {};
    if (!fail && this.setting('nameLsn', request)) headers['snapshot-lsn'] = String(request.readAt);
    await this.replies.send({ topic: request.replyTopic, messages: [{ key: request.correlationId, value, headers }], acks: 1 });
  }

  replyTo(request, fail) {
    const { correlationId } = request;
    if (fail) return encodeReply({ correlationId, ok: false, errorCode: 2, errorMessage: fail });
    if (request.method === 'UPDATE_SINGLE') {
      const { tableName, primaryId, updates } = request;
      const hashId = this.setting('hashOf', request);
      this.commit(tableName, hashId, primaryId, { ...this.rows(tableName).get(primaryId), ...JSON.parse(updates) });
      this.flush();
      return encodeReply({ correlationId, bool: true });
    }
    if (request.method !== 'GET_DATA') return encodeReply({ correlationId, ok: false, errorCode: 1, errorMessage: `no ${request.method} here` });
    const { table, lsn } = this.read(request.tableName, this.setting('replica', request));
    request.readAt = lsn;
    request.tooBig = this.setting('pad', request);
    const text = this.setting('rowText', request) ?? ((json) => json); // what JSON.stringify cannot write
    const rows = [...table.values()].map((row) => text(JSON.stringify(request.tooBig ? { ...row, pad: request.tooBig } : row)));
    return encodeReply({ correlationId, rows });
  }

  /** The rows of a table and the position they were read at. */
  read(name, replica) {
    if (!replica) return { table: this.rows(name), lsn: this.lsn };
    const visible = Date.now() - replica.lagMs;
    while (this.applied < this.history.length && this.history[this.applied].at <= visible) {
      const { table, id, row } = this.history[this.applied++];
      if (!this.replicaTables.has(table)) this.replicaTables.set(table, new Map());
      this.replicaTables.get(table).set(id, row);
    }
    const lsn = this.applied > 0 ? this.history[this.applied - 1].lsn : (this.history[0]?.lsn ?? this.lsn + 1n) - 1n;
    return { table: this.replicaTables.get(name) ?? new Map(), lsn };
  }

  async close() {
    await this.flushing?.catch(() => {});
    // A producer that sends after its disconnect connects again, and keeps the test's process alive. An answer that a test
    // holds back for ever is not waited for.
    await this.consumer?.disconnect().catch(() => {});
    await Promise.race([Promise.allSettled([...this.answers ?? []]), new Promise((r) => setTimeout(r, 2000).unref())]);
    await Promise.allSettled([this.producer?.disconnect(), this.replies?.disconnect()]);
    if (this.workerError) throw this.workerError;
  }

  stop() { return this.close(); }
}

/**
 * Compares what a subscription got from snapshot number `which` on with the true history; returns a list of faults.
 * - every diff after the snapshot's cursor, once, in order, up to the last one received; `whole`: up to the end of history
 * - the rows hold every change up to the cursor
 */
export function faultsOf(db, table, s, { which = s.snapshots.length - 1, whole = false } = {}) {
  const faults = [];
  const snapshot = s.snapshots[which];
  if (!snapshot) return ['no snapshot'];
  const end = s.snapshots[which + 1]?.at ?? s.diffs.length;
  const got = s.diffs.slice(snapshot.at, end).map((d) => d.lsn);
  let due = db.lsnsAfter(table, s.hashId, snapshot.lsn);
  if (!whole) due = due.slice(0, got.length > 0 ? due.indexOf(got.at(-1)) + 1 : 0);
  const repeats = got.length - new Set(got).size;
  if (repeats) faults.push(`${repeats} repeats`);
  for (let i = 1; i < got.length; i++) if (got[i] < got[i - 1]) { faults.push(`out of order: ${got[i - 1]} then ${got[i]}`); break; }
  const have = new Set(got), want = new Set(due);
  const gaps = due.filter((lsn) => !have.has(lsn)), strays = got.filter((lsn) => !want.has(lsn));
  if (gaps.length) faults.push(`${gaps.length} gaps, the first ${gaps[0]} (cursor ${snapshot.lsn}, got ${got.length} from ${got[0]} to ${got.at(-1)})`);
  if (strays.length) faults.push(`${strays.length} strays, the first ${strays[0]} (cursor ${snapshot.lsn})`);
  const rows = new Map(snapshot.rows.map((row) => [row.id, BigInt(row.lsn)]));
  const truth = new Map();
  for (const e of db.history) {
    if (e.lsn > snapshot.lsn) break;
    if (e.table === table) truth.set(e.id, e.lsn);
  }
  for (const [id, lsn] of truth) {
    if ((rows.get(id) ?? -1n) < lsn) { faults.push(`the snapshot at ${snapshot.lsn} misses ${lsn} of row ${id}`); break; }
  }
  return faults;
}
