// What the query encoder builds is read by the official JavaScript runtime as it was meant (spec 12), and what that runtime
// builds is read by the gateway's reader. The slots are spelled out here once more: a slip in proto/ does not cancel out.
// Not tested here: which queries are refused (tests/proto/query_test.c), what a gateway sends (query_wire).
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import path from 'node:path';
import test from 'node:test';
import * as flatbuffers from 'flatbuffers';
import { readControl, readGetData, rootOf } from '../support/fbquery.mjs';
import { build } from '../support/proc.mjs';
import { random as randomOf } from '../support/stage.mjs';

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

test('base64 is read as Node reads it: both alphabets, no padding, junk skipped, the first = ends it', () => {
  const random = randomOf(Number(process.env.HG_TEST_SEED ?? Date.now() % 1e9));
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_';
  const junk = ['=', ' ', '\n', '*', '\u00e9', '\u0000', '.'];
  const texts = ['', '=', 'Y', 'YQ', 'YQ==', 'YQ==YQ==', 'YW-_', 'YW+/', '=YQ', 'Y Q', ...Array.from({ length: 3000 }, () => Array.from({ length: random(40) }, () =>
    (random(12) ? letters[random(letters.length)] : junk[random(junk.length)])).join(''))];
  const out = execFileSync(path.join(build, 'fbdump'), ['base64'], { input: texts.map((t) => `${Buffer.from(t).toString('hex')}\n`).join(''), encoding: 'utf8' }).split('\n');
  for (const [i, t] of texts.entries()) assert.equal(out[i], `bytes ${Buffer.from(t, 'base64').toString('hex')}`, JSON.stringify(t));
});
