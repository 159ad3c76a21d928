// The SQL-RPC messages of proto/*.fbs as a SQL worker sees them, written over the official flatbuffers runtime with the
// slots spelled out: a second reading of the schema, so that a slip in the gateway's does not cancel out.
import * as flatbuffers from 'flatbuffers';

const METHODS = ['GET_DATA', 'GET_SINGLE', 'ADD_SINGLE', 'UPDATE_SINGLE', 'DELETE_ROW', 'CREATE_TABLE', 'TABLE_EXISTS', 'RUN_AGGREGATION'];
const vt = (slot) => 4 + 2 * slot;

/** A table of an untrusted buffer: fields by slot. */
class Table {
  constructor(bb, pos) { Object.assign(this, { bb, pos }); }
  off(slot) { return this.bb.__offset(this.pos, vt(slot)); }
  text(slot) { const o = this.off(slot); return o ? this.bb.__string(this.pos + o) : undefined; }
  u8(slot, d = 0) { const o = this.off(slot); return o ? this.bb.readUint8(this.pos + o) : d; }
  u32(slot, d = 0) { const o = this.off(slot); return o ? this.bb.readUint32(this.pos + o) : d; }
  i64(slot) { const o = this.off(slot); return o ? this.bb.readInt64(this.pos + o) : 0n; }
  f64(slot) { const o = this.off(slot); return o ? this.bb.readFloat64(this.pos + o) : 0; }
  table(slot) { const o = this.off(slot); return o ? new Table(this.bb, this.bb.__indirect(this.pos + o)) : undefined; }
  length(slot) { const o = this.off(slot); return o ? this.bb.__vector_len(this.pos + o) : 0; }
  tableAt(slot, i) { return new Table(this.bb, this.bb.__indirect(this.bb.__vector(this.pos + this.off(slot)) + i * 4)); }
  u8At(slot, i) { return this.bb.readUint8(this.bb.__vector(this.pos + this.off(slot)) + i); }
  list(slot, read) { return this.off(slot) ? Array.from({ length: this.length(slot) }, (_, i) => read(i)) : undefined; }
  texts(slot) { return this.list(slot, (i) => this.bb.__string(this.bb.__vector(this.pos + this.off(slot)) + i * 4)); }
}

const root = (bytes) => {
  const bb = new flatbuffers.ByteBuffer(new Uint8Array(bytes));
  return new Table(bb, bb.readInt32(0));
};

// FilterValue 1..6; lists as their length only, which is all the tests look at.
function value(kind, t) {
  switch (kind) {
    case 1: return t.text(0) ?? '';
    case 2: return t.f64(0);
    case 3: return t.u8(0) !== 0;
    case 4: return null;
    case 5: case 6: return t.i64(0);
    default: return { kind, length: t.length(0) };
  }
}

const filter = (t) => ({ field: t.text(0), value: value(t.u8(1), t.table(2)), type: t.u8(3) });
function wrapper(t) {
  const filters = [];
  for (let i = 0; i < t.length(2); i++) {
    const child = t.tableAt(2, i);
    filters.push(t.u8At(1, i) === 1 ? wrapper(child) : filter(child));
  }
  return { kind: t.u8(0) === 1 ? 'and' : 'or', filters };
}

const pairs = (t) => t?.list(0, (i) => [t.tableAt(0, i).text(0), t.tableAt(0, i).text(1)]);
const column = (t) => ({ name: t.text(0), type: t.u8(1), nullable: t.u8(2) !== 0, constraints: t.list(3, (i) => t.u8At(3, i)), options: pairs(t.table(4)) });
const definition = (t) => t && { name: t.text(0), columns: t.list(1, (i) => column(t.tableAt(1, i))), comment: t.text(2), options: pairs(t.table(3)) };

// What each payload says besides company and table, slot by slot.
const READ = {
  GET_SINGLE: (p) => ({ primaryKeyColumn: p.text(2), primaryId: p.text(3) }),
  ADD_SINGLE: (p) => ({ primaryKeyColumn: p.text(2), row: p.text(3) }),
  UPDATE_SINGLE: (p) => ({ primaryKeyColumn: p.text(2), primaryId: p.text(3), updates: p.text(4) }),
  DELETE_ROW: (p) => ({ primaryKeyColumn: p.text(2), primaryId: p.text(3) }),
  CREATE_TABLE: (p) => ({ tableName: undefined, definition: definition(p.table(1)) }),
  TABLE_EXISTS: () => ({}),
  RUN_AGGREGATION: (p) => {
    const w = p.table(7);
    return { count: p.u8(2) !== 0, sum: p.texts(3), average: p.texts(4), minimum: p.texts(5), maximum: p.texts(6), wrapper: w && wrapper(w) };
  },
  GET_DATA: (p) => {
    const w = p.table(2);
    return {
      wrapper: w && wrapper(w), limit: p.u32(3), offset: p.u32(4), strictAfter: p.u8(7, 1) !== 0,
      order: Array.from({ length: p.length(5) }, (_, i) => ({ field: p.tableAt(5, i).text(0), sort: p.tableAt(5, i).u8(1, 3) })),
      cursor: Array.from({ length: p.length(6) }, (_, i) => ({ field: p.tableAt(6, i).text(0), value: value(p.tableAt(6, i).u8(1), p.tableAt(6, i).table(2)) })),
    };
  },
};

/** RequestEnvelope as an object. */
export function decodeRequest(bytes) {
  const e = root(bytes);
  const request = { correlationId: e.text(0), replyTopic: e.text(1), method: METHODS[e.u8(2)], payloadType: e.u8(3) };
  const p = e.table(4);
  if (!p) return request;
  const tableName = request.method === 'CREATE_TABLE' ? undefined : p.text(1); // slot 1 of a definition is no string
  return Object.assign(request, { companyId: p.text(0), tableName }, READ[request.method]?.(p));
}

/** StreamingSqlDataFilter (value of the control topic) as an object. */
export function decodeQuery(bytes) {
  const q = root(bytes);
  const w = q.table(1);
  return { hash: q.text(0), wrapper: w && wrapper(w), limit: q.u32(2, 50) };
}

const vectorOf = (b, offsets) => {
  b.startVector(4, offsets.length, 4);
  for (const o of [...offsets].reverse()) b.addOffset(o);
  return b.endVector();
};
const tableOf = (b, slots, fill) => {
  b.startObject(slots);
  fill();
  return b.endObject();
};

// A cursor's value from a JavaScript one: bigint Int64Value, { epoch } TimestampValue, bigint[] Int64List, string[] StringList.
function cursorValue(b, v) {
  if (typeof v === 'bigint') return [5, tableOf(b, 1, () => b.addFieldInt64(0, v, 0n))];
  if (typeof v === 'number') return [2, tableOf(b, 1, () => b.addFieldFloat64(0, v, 0))];
  if (typeof v === 'boolean') return [3, tableOf(b, 1, () => b.addFieldInt8(0, Number(v), 0))];
  if (v === null) return [4, tableOf(b, 0, () => {})];
  if (typeof v === 'string') {
    const text = b.createString(v);
    return [1, tableOf(b, 1, () => b.addFieldOffset(0, text, 0))];
  }
  if (v.epoch !== undefined) return [6, tableOf(b, 2, () => b.addFieldInt64(0, v.epoch, 0n))];
  const ints = typeof v[0] === 'bigint';
  let list;
  if (ints) {
    b.startVector(8, v.length, 8);
    for (const i of [...v].reverse()) b.addInt64(i);
    list = b.endVector();
  } else {
    list = vectorOf(b, v.map((text) => b.createString(text)));
  }
  return [ints ? 8 : 7, tableOf(b, 1, () => b.addFieldOffset(0, list, 0))];
}

const entryOf = (b, [field, v]) => {
  const name = b.createString(field), [kind, at] = cursorValue(b, v);
  return tableOf(b, 3, () => { b.addFieldOffset(0, name, 0); b.addFieldInt8(1, kind, 0); b.addFieldOffset(2, at, 0); });
};

function mapOf(b, map) {
  return map ? vectorOf(b, Object.entries(map).map(([k, v]) => {
    const key = b.createString(k), text = b.createString(v);
    return tableOf(b, 2, () => { b.addFieldOffset(0, key, 0); b.addFieldOffset(1, text, 0); });
  })) : 0;
}

// [number in the union, offset] of the data.
function dataOf(b, { rows, row, bool, agg, cursor }) {
  if (rows) {
    const texts = vectorOf(b, rows.map((r) => b.createString(r)));
    if (!cursor) return [1, tableOf(b, 1, () => b.addFieldOffset(0, texts, 0))];
    const entries = vectorOf(b, cursor.map((e) => entryOf(b, e)));
    return [5, tableOf(b, 2, () => { b.addFieldOffset(0, texts, 0); b.addFieldOffset(1, entries, 0); })];
  }
  if (row !== undefined) {
    const text = row === null ? 0 : b.createString(row);
    return [2, tableOf(b, 1, () => b.addFieldOffset(0, text, 0))];
  }
  if (bool !== undefined) return [3, tableOf(b, 1, () => b.addFieldInt8(0, Number(bool), 0))];
  if (!agg) return [0, 0];
  const maps = [agg.sum, agg.average, agg.minimum, agg.maximum].map((m) => mapOf(b, m));
  const at = tableOf(b, 5, () => {
    b.addFieldInt32(0, agg.count ?? 0, 0);
    maps.forEach((m, i) => b.addFieldOffset(1 + i, m, 0));
  });
  return [4, tableOf(b, 1, () => b.addFieldOffset(0, at, 0))];
}

/**
 * ResponseEnvelope: rows (texts, with `cursor` as [field, value] pairs RowsWithCursor), row (text, null for none), bool,
 * agg ({ count, sum, average, minimum, maximum: { column: text } }), nothing, or an error. ok = true is the default and so
 * not on the wire.
 */
export function encodeReply({ correlationId, ok = true, errorCode = 0, errorMessage, ...data }) {
  const b = new flatbuffers.Builder(1024);
  const id = b.createString(correlationId), message = errorMessage === undefined ? 0 : b.createString(errorMessage);
  const [kind, at] = dataOf(b, data);
  b.startObject(6);
  b.addFieldOffset(5, at, 0);
  b.addFieldInt8(4, kind, 0);
  b.addFieldOffset(3, message, 0);
  b.addFieldInt8(2, errorCode, 0);
  b.addFieldInt8(1, Number(ok), 1);
  b.addFieldOffset(0, id, 0);
  b.finish(b.endObject());
  return Buffer.from(b.asUint8Array());
}

/** RequestEnvelope of a method that wants company and table only. */
export function encodeRequest({ correlationId, replyTopic, method, companyId = 'demo', tableName = 't' }) {
  const b = new flatbuffers.Builder(256);
  const [id, topic, company, table] = [correlationId, replyTopic, companyId, tableName].map((x) => (x === undefined ? 0 : b.createString(x)));
  const payload = tableOf(b, 2, () => { b.addFieldOffset(0, company, 0); b.addFieldOffset(1, table, 0); });
  b.finish(tableOf(b, 5, () => {
    b.addFieldOffset(4, payload, 0);
    b.addFieldInt8(3, 1 + METHODS.indexOf(method), 0);
    b.addFieldInt8(2, METHODS.indexOf(method), 0);
    b.addFieldOffset(1, topic, 0);
    b.addFieldOffset(0, id, 0);
  }));
  return Buffer.from(b.asUint8Array());
}

/** ResponseEnvelope as an object; of its data, rows. */
export function decodeReply(bytes) {
  const e = root(bytes);
  return { correlationId: e.text(0), ok: e.u8(1, 1) !== 0, errorCode: e.u8(2), errorMessage: e.text(3), ...(e.u8(4) === 1 ? { rows: e.table(5).texts(0) } : {}) };
}
