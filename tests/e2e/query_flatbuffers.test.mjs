// What the query encoder builds is read by the official JavaScript runtime as it was meant (spec 12), and what that runtime
// builds is read by the gateway's reader. The slots are spelled out here once more: a slip in proto/ does not cancel out.
// Not tested here: which queries are refused (tests/proto/query_test.c).
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import path from 'node:path';
import test from 'node:test';
import * as flatbuffers from 'flatbuffers';
import { build } from '../support/proc.mjs';

execFileSync('cmake', ['--build', build, '--target', 'fbdump'], { stdio: ['ignore', 'ignore', 'inherit'] });

/** [{ control, get_data } | { fault }] of lines. */
function fbdump(mode, lines) {
  const out = execFileSync(path.join(build, 'fbdump'), [mode], { input: lines.map((l) => `${l}\n`).join(''), encoding: 'utf8' });
  const results = [];
  for (const line of out.trim().split('\n')) {
    const name = line.slice(0, line.indexOf(' ')), rest = line.slice(name.length + 1);
    if (name === 'fault') results.push({ fault: rest });
    else if (name === 'control') results.push({ control: Buffer.from(rest, 'hex') });
    else results.at(-1).get_data = Buffer.from(rest, 'hex');
  }
  return results;
}

// --- reading -------------------------------------------------------------------------------------------------------

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

const rootOf = (bytes) => {
  const bb = new flatbuffers.ByteBuffer(new Uint8Array(bytes));
  return new Table(bb, bb.readInt32(0));
};

const KINDS = [null, 'StringValue', 'NumberValue', 'BoolValue', 'NullValue', 'Int64Value', 'TimestampValue', 'StringList', 'Int64List', 'Float64List', 'BoolList'];
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

function readControl(bytes) {
  const q = rootOf(bytes);
  return { hash: q.text(0), wrapper: wrapper(q.table(1)), limit: q.u32(2, 50), order: q.tables(3, order), cursor: q.tables(4, cursor), version: q.u16(5, 1) };
}

function readGetData(bytes) {
  const e = rootOf(bytes), p = e.table(4);
  return {
    correlationId: e.text(0), replyTopic: e.text(1), method: e.u8(2), type: e.u8(3), company: p.text(0), table: p.text(1), wrapper: wrapper(p.table(2)),
    limit: p.u32(3), offset: p.u32(4), order: p.tables(5, order), cursor: p.tables(6, cursor), strictAfter: p.u8(7, 1) !== 0,
  };
}

// --- tests ---------------------------------------------------------------------------------------------------------

const BIG = '9007199254740993'; // the first integer a double can't hold

const everything = {
  hash: 'h\u00e9', schema_version: 1, limit: 7, offset: 3, strict_after: false,
  wrapper: {
    filter_wrapper_type: 'or',
    filters: [
      { field_name: 'a', filter_type: 'equals', value: { StringValue: { value: 'x\u0000"\u{1f600}' } } },
      { field_name: 'b', filter_type: 'notEquals', value: { NumberValue: { value: 0.1 } } },
      { field_name: 'c', value: { BoolValue: { value: true } } },
      { field_name: 'd', filter_type: 'isNull', value: { NullValue: {} } },
      { field_name: 'e', filter_type: 'lessThan', value: { Int64Value: { value: BIG } }, modifier: { case_insensitive: true, nulls_order: 'last' } },
      { field_name: 'f', filter_type: 'greaterThanOrEquals', value: { TimestampValue: { epoch: `-${BIG}`, unit: 'SECONDS' } } },
      {
        filter_wrapper_type: 'and',
        filters: [
          { field_name: 'g', filter_type: 'in', value: { StringList: { values: ['', 'two', '\u20ac'] } } },
          { field_name: 'h', filter_type: 'notInList', value: { Int64List: { values: [BIG, -1, '0'] } } },
          { field_name: 'i', filter_type: 'between', value: { Float64List: { values: [-1.5, 2] } } },
          { field_name: 'j', filter_type: 'inList', value: { BoolList: { values: [true, false] } } },
          { field_name: 'k', filter_type: 'notBetween', value: { RangeValue: { low: { Int64Value: { value: 1 } }, high: { Int64Value: { value: 2 } } } } },
        ],
      },
    ],
  },
  order: [{ field: 'a', sort: 'ASC_NULLS_LAST', is_pk: true }, { field: 'b' }],
  cursor: [{ field: 'a', value: { Int64Value: { value: BIG } } }, { field: 'b', value: { NullValue: {} } }],
};

const wantedWrapper = {
  and: false,
  filters: [
    { field: 'a', value: { StringValue: 'x\u0000"\u{1f600}' }, op: 0, modifier: undefined },
    { field: 'b', value: { NumberValue: 0.1 }, op: 1, modifier: undefined },
    { field: 'c', value: { BoolValue: true }, op: 0, modifier: undefined },
    { field: 'd', value: { NullValue: null }, op: 6, modifier: undefined },
    { field: 'e', value: { Int64Value: 9007199254740993n }, op: 2, modifier: { distinct: false, caseInsensitive: true, nulls: 1 } },
    { field: 'f', value: { TimestampValue: -9007199254740993n, unit: 0 }, op: 5, modifier: undefined },
    {
      and: true,
      filters: [
        { field: 'g', value: { StringList: ['', 'two', '\u20ac'] }, op: 33, modifier: undefined },
        { field: 'h', value: { Int64List: [9007199254740993n, -1n, 0n] }, op: 34, modifier: undefined },
        { field: 'i', value: { Float64List: [-1.5, 2] }, op: 29, modifier: undefined },
        { field: 'j', value: { BoolList: [true, false] }, op: 33, modifier: undefined },
        { field: 'k', value: { Int64List: [1n, 2n] }, op: 30, modifier: undefined },
      ],
    },
  ],
};
const wantedOrder = [{ field: 'a', sort: 2, isPk: true }, { field: 'b', sort: 3, isPk: false }];
const wantedCursor = [{ field: 'a', value: { Int64Value: 9007199254740993n } }, { field: 'b', value: { NullValue: null } }];

test('a query with every kind of value arrives exactly', () => {
  const [{ control, get_data: getData, fault }] = fbdump('strict', [JSON.stringify(everything)]);
  assert.equal(fault, undefined);
  assert.deepEqual(readControl(control), { hash: 'h\u00e9', wrapper: wantedWrapper, limit: 7, order: wantedOrder, cursor: wantedCursor, version: 1 });
  assert.deepEqual(readGetData(getData), {
    correlationId: 'c-1', replyTopic: 'replies', method: 0, type: 1, company: 'demo', table: 'items', wrapper: wantedWrapper,
    limit: 7, offset: 3, order: wantedOrder, cursor: wantedCursor, strictAfter: false,
  });
});

test('absence: limit 50 to the change source, the default to the worker; vectors empty, wrapper none', () => {
  const [{ control, get_data: getData }] = fbdump('strict', ['{}']);
  assert.deepEqual(readControl(control), { hash: '', wrapper: undefined, limit: 50, order: [], cursor: [], version: 1 });
  assert.equal(rootOf(control).has(2), false);
  const call = readGetData(getData);
  assert.equal(call.limit, 500);
  assert.deepEqual([call.wrapper, call.order, call.cursor, call.offset, call.strictAfter], [undefined, undefined, undefined, 0, true]);
});

test('every operator has its number', () => {
  const names = ['equals', 'notEquals', 'lessThan', 'lessThanOrEquals', 'greaterThan', 'greaterThanOrEquals', 'isNull', 'isNotNull', 'regex', 'notRegex',
    'startsWith', 'endsWith', 'contains', 'notContains', 'arrayContains', 'arrayContainedBy', 'arrayOverlaps', 'arrayEquals', 'arrayNotEquals', 'arrayEmpty',
    'arrayNotEmpty', 'arrayLength', 'jsonContains', 'jsonContainedBy', 'jsonHasKey', 'jsonHasAnyKey', 'jsonHasAllKeys', 'jsonGetField', 'jsonGetFieldAsText',
    'between', 'notBetween', 'rangeContains', 'rangeContainedBy', 'inList', 'notInList'];
  const query = (op) => JSON.stringify({ wrapper: { filters: [{ field_name: 'f', filter_type: op }] } });
  const results = fbdump('lenient', names.map(query));
  assert.deepEqual(results.map((r) => readControl(r.control).wrapper.filters[0].op), names.map((_, i) => i));
});

// A query as the sources' clients build it: the official builder shares vtables and lays tables out its own way.
function builtInJavaScript() {
  const b = new flatbuffers.Builder(16);
  const object = (fields, n) => { b.startObject(n); fields(); return b.endObject(); };
  const field = b.createString('price');
  const int = (v) => object(() => b.addFieldInt64(0, v, 0n), 1);
  const filter = (v, op) => object(() => { b.addFieldOffset(0, field, 0); b.addFieldInt8(1, 5, 0); b.addFieldOffset(2, v, 0); b.addFieldInt8(3, op, 0); }, 5);
  const filters = [filter(int(9007199254740993n), 4), filter(int(-1n), 1)];
  b.startVector(1, 2, 1); b.addInt8(2); b.addInt8(2);
  const types = b.endVector();
  b.startVector(4, 2, 4); for (const f of filters.reverse()) b.addOffset(f);
  const kids = b.endVector();
  const root = object(() => { b.addFieldInt8(0, 1, 0); b.addFieldOffset(1, types, 0); b.addFieldOffset(2, kids, 0); }, 3);
  const hash = b.createString('js');
  b.finish(object(() => { b.addFieldOffset(0, hash, 0); b.addFieldOffset(1, root, 0); b.addFieldInt32(2, 9, 50); }, 6));
  return Buffer.from(b.asUint8Array());
}

test('bytes of the official builder are read, and hold the same when written again', () => {
  const [{ control, fault }] = fbdump('bytes', [builtInJavaScript().toString('hex')]);
  assert.equal(fault, undefined);
  assert.deepEqual(readControl(control), {
    hash: 'js', limit: 9, order: [], cursor: [], version: 1,
    wrapper: {
      and: true,
      filters: [
        { field: 'price', value: { Int64Value: 9007199254740993n }, op: 4, modifier: undefined },
        { field: 'price', value: { Int64Value: -1n }, op: 1, modifier: undefined },
      ],
    },
  });
});
