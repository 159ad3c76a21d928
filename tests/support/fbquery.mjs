// A live query as the other ends of the wires read it: over the official flatbuffers runtime, with the slots and numbers of
// proto/*.fbs spelled out once more, so that a slip in the gateway's reading of the schema does not cancel out.
import * as flatbuffers from 'flatbuffers';

class Table {
  constructor(bb, pos) { Object.assign(this, { bb, pos }); }
  at(slot) { const o = this.bb.__offset(this.pos, 4 + 2 * slot); return o ? this.pos + o : 0; }
  has(slot) { return this.at(slot) !== 0; }
  u8(slot, d = 0) { return this.has(slot) ? this.bb.readUint8(this.at(slot)) : d; }
  u16(slot, d) { return this.has(slot) ? this.bb.readUint16(this.at(slot)) : d; }
  u32(slot, d = 0) { return this.has(slot) ? this.bb.readUint32(this.at(slot)) : d; }
  i64(slot) { return this.has(slot) ? this.bb.readInt64(this.at(slot)) : 0n; }
  f64(slot) { return this.has(slot) ? this.bb.readFloat64(this.at(slot)) : 0; }
  text(slot) { return this.has(slot) ? this.bb.__string(this.at(slot)) : undefined; }
  table(slot) { return this.has(slot) ? new Table(this.bb, this.bb.__indirect(this.at(slot))) : undefined; }
  list(slot, size, read) { // read(position of element)
    if (!this.has(slot)) return undefined;
    const from = this.bb.__vector(this.at(slot));
    return Array.from({ length: this.bb.__vector_len(this.at(slot)) }, (_, i) => read(from + i * size));
  }
  tables(slot, read) { return this.list(slot, 4, (p) => read(new Table(this.bb, this.bb.__indirect(p)))); }
}

export const rootOf = (bytes) => {
  const bb = new flatbuffers.ByteBuffer(new Uint8Array(bytes));
  return new Table(bb, bb.readInt32(0));
};

/** FilterValue by number. */
export const KINDS = [null, 'StringValue', 'NumberValue', 'BoolValue', 'NullValue', 'Int64Value', 'TimestampValue', 'StringList', 'Int64List', 'Float64List', 'BoolList'];
function value(kind, t) {
  const { bb } = t;
  switch (KINDS[kind]) {
    case 'StringValue': return { StringValue: t.text(0) };
    case 'NumberValue': return { NumberValue: t.f64(0) };
    case 'BoolValue': return { BoolValue: t.u8(0) !== 0 };
    case 'NullValue': return { NullValue: null };
    case 'Int64Value': return { Int64Value: t.i64(0) };
    case 'TimestampValue': return { TimestampValue: t.i64(0), unit: t.u8(1, 2) };
    case 'StringList': return { StringList: t.list(0, 4, (p) => bb.__string(p)) };
    case 'Int64List': return { Int64List: t.list(0, 8, (p) => bb.readInt64(p)) };
    case 'Float64List': return { Float64List: t.list(0, 8, (p) => bb.readFloat64(p)) };
    case 'BoolList': return { BoolList: t.list(0, 1, (p) => bb.readUint8(p) !== 0) };
    default: throw new Error(`kind ${kind}`);
  }
}

const modifier = (t) => t && { distinct: t.u8(0) !== 0, caseInsensitive: t.u8(1) !== 0, nulls: t.u8(2) };
const basic = (t) => ({ field: t.text(0), value: value(t.u8(1), t.table(2)), op: t.u8(3), modifier: modifier(t.table(4)) });
function wrapper(t) {
  if (!t) return undefined;
  const types = t.list(1, 1, (p) => t.bb.readUint8(p));
  let i = 0;
  return { and: t.u8(0) === 1, filters: t.tables(2, (kid) => (types[i++] === 1 ? wrapper(kid) : basic(kid))) };
}
const order = (t) => ({ field: t.text(0), sort: t.u8(1, 3), isPk: t.u8(2) !== 0 });
const cursor = (t) => ({ field: t.text(0), value: value(t.u8(1), t.table(2)) });

/** StreamingSqlDataFilter: value of a record on the control topic. */
export function readControl(bytes) {
  const q = rootOf(bytes);
  return { hash: q.text(0), wrapper: wrapper(q.table(1)), limit: q.u32(2, 50), order: q.tables(3, order), cursor: q.tables(4, cursor), version: q.u16(5, 1) };
}

/** RequestEnvelope of a GET_DATA. */
export function readGetData(bytes) {
  const e = rootOf(bytes), p = e.table(4);
  return {
    correlationId: e.text(0), replyTopic: e.text(1), method: e.u8(2), type: e.u8(3), company: p.text(0), table: p.text(1), wrapper: wrapper(p.table(2)),
    limit: p.u32(3), offset: p.u32(4), order: p.tables(5, order), cursor: p.tables(6, cursor), strictAfter: p.u8(7, 1) !== 0,
  };
}
