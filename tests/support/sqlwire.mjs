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

/** RequestEnvelope as an object. */
export function decodeRequest(bytes) {
  const e = root(bytes);
  const request = { correlationId: e.text(0), replyTopic: e.text(1), method: METHODS[e.u8(2)], payloadType: e.u8(3) };
  const p = e.table(4);
  if (!p) return request;
  Object.assign(request, { companyId: p.text(0), tableName: p.text(1) });
  if (request.method === 'GET_DATA') {
    const w = p.table(2);
    Object.assign(request, { wrapper: w && wrapper(w), limit: p.u32(3), offset: p.u32(4) });
    request.order = Array.from({ length: p.length(5) }, (_, i) => ({ field: p.tableAt(5, i).text(0), sort: p.tableAt(5, i).u8(1, 3) }));
  } else if (request.method === 'UPDATE_SINGLE') {
    Object.assign(request, { primaryKeyColumn: p.text(2), primaryId: p.text(3), updates: p.text(4) });
  }
  return request;
}

/** StreamingSqlDataFilter (value of the control topic) as an object. */
export function decodeQuery(bytes) {
  const q = root(bytes);
  const w = q.table(1);
  return { hash: q.text(0), wrapper: w && wrapper(w), limit: q.u32(2, 50) };
}

/** ResponseEnvelope: rows (texts), bool, or an error. ok = true is the default and so not on the wire. */
export function encodeReply({ correlationId, ok = true, errorCode = 0, errorMessage, rows, bool }) {
  const b = new flatbuffers.Builder(1024);
  const id = b.createString(correlationId), message = errorMessage === undefined ? 0 : b.createString(errorMessage);
  let kind = 0, data = 0;
  if (rows) {
    const offsets = rows.map((row) => b.createString(row));
    b.startVector(4, offsets.length, 4);
    for (const o of offsets.reverse()) b.addOffset(o);
    const vector = b.endVector();
    b.startObject(1);
    b.addFieldOffset(0, vector, 0);
    [kind, data] = [1, b.endObject()];
  } else if (bool !== undefined) {
    b.startObject(1);
    b.addFieldInt8(0, Number(bool), 0);
    [kind, data] = [3, b.endObject()];
  }
  b.startObject(6);
  b.addFieldOffset(5, data, 0);
  b.addFieldInt8(4, kind, 0);
  b.addFieldOffset(3, message, 0);
  b.addFieldInt8(2, errorCode, 0);
  b.addFieldInt8(1, Number(ok), 1);
  b.addFieldOffset(0, id, 0);
  b.finish(b.endObject());
  return Buffer.from(b.asUint8Array());
}
