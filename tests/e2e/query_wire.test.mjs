// What the gateway makes of a client's query is what was meant (spec 12): each row of a table is subscribed to, and the records
// it then has on the control topic and among the SQL requests are read by the official FlatBuffers library. C-9, C-10, C-11.
// And what is refused: as bad_query with the JSON path of the fault, the connection alive, nothing produced.
// Not tested here: every combination (tests/proto/query_property_test.c), answers of a SQL worker.
import assert from 'node:assert/strict';
import test from 'node:test';
import * as flatbuffers from 'flatbuffers';
import { Client } from '../support/client.mjs';
import { readControl, readGetData } from '../support/fbquery.mjs';
import { collect } from '../support/kafka.mjs';
import { stage } from '../support/stage.mjs';
import { waitFor } from '../support/wait.mjs';

const BIG = '9007199254740993'; // the first integer a double can't hold
const MAX = '9223372036854775807', MIN = '-9223372036854775808';

const OPS = ['equals', 'notEquals', 'lessThan', 'lessThanOrEquals', 'greaterThan', 'greaterThanOrEquals', 'isNull', 'isNotNull', 'regex', 'notRegex',
  'startsWith', 'endsWith', 'contains', 'notContains', 'arrayContains', 'arrayContainedBy', 'arrayOverlaps', 'arrayEquals', 'arrayNotEquals', 'arrayEmpty',
  'arrayNotEmpty', 'arrayLength', 'jsonContains', 'jsonContainedBy', 'jsonHasKey', 'jsonHasAnyKey', 'jsonHasAllKeys', 'jsonGetField', 'jsonGetFieldAsText',
  'between', 'notBetween', 'rangeContains', 'rangeContainedBy', 'inList', 'notInList'];
const SORTS = ['ASC_DEFAULT', 'ASC_NULLS_FIRST', 'ASC_NULLS_LAST', 'DESC_DEFAULT', 'DESC_NULLS_FIRST', 'DESC_NULLS_LAST'];
const UNITS = ['SECONDS', 'MILLIS', 'MICROS', 'NANOS'];

// --- the table: [what, query, expected], expected as far as it differs from that of {} ---------------------------------

const filter = (op, value, more) => ({ wrapper: { filter_wrapper_type: 'and', filters: [{ field_name: 'f', filter_type: op, value, ...more }] } });
const filtered = (op, value, modifier) => ({ wrapper: { and: true, filters: [{ field: 'f', op, value, modifier }] } });
const tagged = (kind, value) => ({ [kind]: { value } });
const range = (low, high, more) => ({ RangeValue: { low, high, ...more } });

/** [kind, JSON of its payload, what must arrive] */
const VALUES = [
  ['StringValue', { value: '' }, { StringValue: '' }],
  ['StringValue', { value: 'a\u0000"\\\u20ac\u{1f600}' }, { StringValue: 'a\u0000"\\\u20ac\u{1f600}' }],
  ['NumberValue', { value: 0 }, { NumberValue: 0 }],
  ['NumberValue', { value: -1.5e-3 }, { NumberValue: -0.0015 }],
  ['NumberValue', { value: 1.7976931348623157e308 }, { NumberValue: Number.MAX_VALUE }],
  ['BoolValue', { value: true }, { BoolValue: true }],
  ['BoolValue', { value: false }, { BoolValue: false }],
  ['NullValue', {}, { NullValue: null }], // B-20
  ['Int64Value', { value: BIG }, { Int64Value: 9007199254740993n }],
  ['Int64Value', { value: 7 }, { Int64Value: 7n }],
  ['Int64Value', { value: MAX }, { Int64Value: 9223372036854775807n }],
  ['Int64Value', { value: MIN }, { Int64Value: -9223372036854775808n }],
  ['TimestampValue', { epoch: BIG }, { TimestampValue: 9007199254740993n, unit: 2 }],
  ...UNITS.map((unit, i) => ['TimestampValue', { epoch: -5, unit }, { TimestampValue: -5n, unit: i }]),
  ['StringList', { values: [] }, { StringList: [] }],
  ['StringList', { values: ['', 'two', '\u20ac'] }, { StringList: ['', 'two', '\u20ac'] }],
  ['Int64List', { values: [1, BIG, MIN, '-0'] }, { Int64List: [1n, 9007199254740993n, -9223372036854775808n, 0n] }],
  ['Float64List', { values: [0.1, -2, 1e300] }, { Float64List: [0.1, -2, 1e300] }],
  ['BoolList', { values: [true, false, true] }, { BoolList: [true, false, true] }],
];

/** A value the operator takes in strict mode, and how it is read. */
function valueFor(op) {
  if (['inList', 'notInList'].includes(op)) return [{ Int64List: { values: [BIG, 2] } }, { Int64List: [9007199254740993n, 2n] }];
  if (['between', 'notBetween'].includes(op)) return [{ Float64List: { values: [1.5, 2] } }, { Float64List: [1.5, 2] }];
  if (['isNull', 'isNotNull', 'arrayEmpty', 'arrayNotEmpty'].includes(op)) return [undefined, { NullValue: null }]; // B-20
  return [tagged('StringValue', 'x'), { StringValue: 'x' }];
}

function nested(depth) {
  const query = { field_name: 'f', filter_type: 'equals', value: tagged('BoolValue', true) };
  const read = { field: 'f', op: 0, value: { BoolValue: true }, modifier: undefined };
  let [q, r] = [query, read];
  for (let i = 0; i < depth; i++) {
    q = { filter_wrapper_type: i % 2 ? 'or' : 'and', filters: [q, query] };
    r = { and: i % 2 === 0, filters: [r, read] };
  }
  return [{ wrapper: q }, { wrapper: r }];
}

const ENDS = [
  ['StringValue', 'a', 'b', { StringList: ['a', 'b'] }],
  ['NumberValue', 1.5, 2, { Float64List: [1.5, 2] }],
  ['BoolValue', false, true, { BoolList: [false, true] }],
  ['Int64Value', BIG, 7, { Int64List: [9007199254740993n, 7n] }],
];

const ROWS = [
  ['{}', {}, {}],
  ...OPS.map((name, i) => [`operator ${name}`, filter(name, valueFor(name)[0]), filtered(i, valueFor(name)[1])]),
  ['C-10 in', filter('in', valueFor('inList')[0]), filtered(33, valueFor('inList')[1])],
  ['C-10 notIn', filter('notIn', valueFor('notInList')[0]), filtered(34, valueFor('notInList')[1])],
  ['a missing operator', filter(undefined, tagged('BoolValue', true)), filtered(0, { BoolValue: true })],
  ...VALUES.map(([kind, payload, read]) => [`${kind} ${JSON.stringify(payload)}`, filter('arrayContains', { [kind]: payload, ignored: 1 }), filtered(14, read)]),
  ...[[29, 'between'], [30, 'notBetween'], [31, 'rangeContains'], [32, 'rangeContainedBy']].flatMap(([i, op]) => ENDS.map(([kind, low, high, read]) =>
    [`B-22 ${op} of ${kind}`, filter(op, range(tagged(kind, low), tagged(kind, high), { include_low: true })), filtered(i, read)])),
  ...['first', 'last', 'default', 'default_', undefined].flatMap((order, i) => [false, true].map((flag) =>
    [`modifier ${order} ${flag}`, filter('isNull', undefined, { modifier: { distinct: flag, case_insensitive: !flag, nulls_order: order } }),
      filtered(6, { NullValue: null }, { distinct: flag, caseInsensitive: !flag, nulls: Math.min(i, 2) })])),
  ['an empty modifier', filter('isNull', undefined, { modifier: {} }), filtered(6, { NullValue: null }, { distinct: false, caseInsensitive: false, nulls: 2 })],
  ...SORTS.flatMap((sort, i) => [true, false].map((pk) => [`sort ${sort} ${pk}`, { order: [{ field: 'a', sort, is_pk: pk }, { field: 'b' }] },
    { order: [{ field: 'a', sort: i, isPk: pk }, { field: 'b', sort: 3, isPk: false }] }])),
  ...VALUES.filter(([kind]) => !kind.endsWith('List')).map(([kind, payload, read]) => [`cursor of ${kind} ${JSON.stringify(payload)}`,
    { cursor: [{ field: 'a', value: { [kind]: payload } }, { field: 'b', value: null }] }, { cursor: [{ field: 'a', value: read }, { field: 'b', value: { NullValue: null } }] }]),
  ['a wrapper without filters', { wrapper: { filters: [] } }, { wrapper: { and: true, filters: [] } }],
  ...[1, 2, 5, 31].map((depth) => [`wrappers ${depth} deep`, ...nested(depth)]),
  ...[[0, 0], [1, 1], [50, 50], [500, 500], [4294967295, 4294967295]].map(([limit, read]) => [`limit ${limit}`, { limit }, { limit: read }]),
  ['limit and offset, B-26', { limit: 7, offset: 4000000000 }, { limit: 7, offset: 4000000000 }],
  ['offset alone, B-26', { offset: 3 }, { offset: 3 }],
  ['strict_after, B-26', { strict_after: false }, { strictAfter: false }],
  ...[0, 1, 2, 65535].map((v) => [`schema_version ${v}`, { schema_version: v }, { version: v }]),
  ['hash', { hash: 'h\u00e9\u0000' }, { hash: 'h\u00e9\u0000' }],
];

/** The same for both records; each has what the other has not. */
const asControl = ({ limit = 50, ...e }) => ({
  hash: e.hash ?? '', wrapper: e.wrapper, limit, order: e.order ?? [], cursor: e.cursor ?? [], version: e.version ?? 1,
});
const asGetData = (e) => ({
  method: 0, type: 1, company: 'demo', wrapper: e.wrapper, limit: e.limit ?? 0, offset: e.offset ?? 0, order: e.order, cursor: e.cursor, strictAfter: e.strictAfter ?? true,
});

/** Subscribes to each query, under a table of its own; resolves with { control(i), call(i) }, the records as read. */
async function subscribeAll(t, queries, options = {}) {
  const s = await stage(t, { options: { workers: 1, ...options } });
  const records = await collect(t, s.kafka.brokers, [s.topics.requests, s.topics.control]);
  const c = s.keep(await Client.open(s.hg.url));
  await Promise.all(queries.map((q, i) => c.subscribe(`t${i}`, `h${i}`, { queryJson: undefined, ...q }, 60000)));
  await c.ping();
  // A last subscribe, so that what was not produced before it never will be.
  await c.subscribe('end', 'end');
  await waitFor(() => records.some((r) => r.key === 'demo_end|end') && records.filter((r) => r.topic === s.topics.requests).length >= queries.length + 1,
    { what: () => `the records of ${queries.length} queries, ${records.length} so far` });
  const raw = new Map(records.map((r) => [r.topic === s.topics.control ? r.key : readGetData(r.value).table, r.value]));
  return {
    raw: (i) => raw.get(`demo_t${i}|h${i}`),
    control: (i) => raw.get(`demo_t${i}|h${i}`) && readControl(raw.get(`demo_t${i}|h${i}`)),
    call: (i) => {
      const { correlationId, replyTopic, table, ...rest } = readGetData(raw.get(`t${i}`));
      assert.match(correlationId, /^[0-9a-f-]{36}$/);
      assert.ok(replyTopic);
      assert.equal(table, `t${i}`);
      return rest;
    },
  };
}

test('queryJson: every operator in both spellings, every kind of value (B-20, B-22), order, modifier, nesting, cursor and limit (B-26)', { timeout: 180000 }, async (t) => {
  const got = await subscribeAll(t, ROWS.map(([, query]) => ({ queryJson: JSON.stringify(query) })));
  for (const [i, [what, query, expected]] of ROWS.entries()) {
    assert.deepEqual(got.control(i), asControl(expected), `control: ${what} ${JSON.stringify(query)}`);
    assert.deepEqual(got.call(i), asGetData(expected), `GET_DATA: ${what} ${JSON.stringify(query)}`);
  }
});

// A query as the sources' clients build it, with the official builder.
function built({ hash, limit, big }) {
  const b = new flatbuffers.Builder(16);
  const object = (n, fields) => { b.startObject(n); fields(); return b.endObject(); };
  const field = b.createString('price');
  const int = object(1, () => b.addFieldInt64(0, big, 0n));
  const basic = object(5, () => { b.addFieldOffset(0, field, 0); b.addFieldInt8(1, 5, 0); b.addFieldOffset(2, int, 0); b.addFieldInt8(3, 22, 0); });
  b.startVector(1, 1, 1); b.addInt8(2);
  const types = b.endVector();
  b.startVector(4, 1, 4); b.addOffset(basic);
  const kids = b.endVector();
  const root = object(3, () => { b.addFieldOffset(1, types, 0); b.addFieldOffset(2, kids, 0); });
  const name = b.createString(hash);
  b.finish(object(6, () => { b.addFieldOffset(0, name, 0); b.addFieldOffset(1, root, 0); b.addFieldInt32(2, limit, 50); }));
  return Buffer.from(b.asUint8Array());
}

test('B-8: queryFbB64 becomes the GET_DATA query, and goes to the control topic as it is, however its base64 is written', { timeout: 60000 }, async (t) => {
  const bytes = [{ hash: '', limit: 9, big: BigInt(BIG) }, { hash: 'ab', limit: 50, big: -1n }, { hash: 'abc', limit: 0, big: 0n }].map(built);
  const writings = [(b) => b.toString('base64'), (b) => b.toString('base64url'), (b) => b.toString('base64').replace(/=+$/, '').replace(/(.{7})/g, '$1\n*'), (b) => `${b.toString('base64').replace(/=*$/, '')}====junk`];
  const rows = bytes.flatMap((b) => writings.map((write) => [b, write(b)]));
  const got = await subscribeAll(t, rows.map(([, queryFbB64]) => ({ queryFbB64 })));
  for (const [i, [b]] of rows.entries()) {
    const q = readControl(b);
    assert.deepEqual(got.raw(i), b, 'the same bytes');
    assert.deepEqual(got.call(i), { ...asGetData({}), wrapper: q.wrapper, limit: q.limit }, rows[i][1]);
    assert.equal(q.wrapper.filters[0].op, 22);
  }
});

test('lenient, as the sources (B-21): defaults for what is missing or odd; what cannot be read at all asks for the first rows, and is told to nobody', { timeout: 60000 }, async (t) => {
  const NONE = Symbol('not produced');
  const rows = [
    [{ limit: '7' }, { limit: 7 }], [{ limit: 7.9 }, { limit: 7 }], [{ limit: 'x' }, {}], [{ hash: 12 }, { hash: '12' }], [{ what: 1 }, {}], [{ schema_version: 'x' }, {}],
    [{ wrapper: { filter_wrapper_type: 'xor', filters: 7 } }, { wrapper: { and: true, filters: [] } }],
    [filter(undefined, undefined), filtered(0, { NullValue: null })], // B-20, B-21: a missing type is equals
    [filter('equals', { Decimal: { value: 1 } }), filtered(0, { NullValue: null })],
    [filter('equals', tagged('StringValue', 12)), filtered(0, { StringValue: '12' })],
    [filter('equals', tagged('NumberValue', '1.5')), filtered(0, { NumberValue: 1.5 })],
    [filter('equals', tagged('BoolValue', 'yes')), filtered(0, { BoolValue: true })],
    [filter('equals', { Int64Value: {} }), filtered(0, { Int64Value: 0n })],
    [filter('equals', { TimestampValue: { unit: 'DAYS' } }), filtered(0, { TimestampValue: 0n, unit: 2 })],
    [filter('equals', { StringList: {} }), filtered(0, { StringList: [] })],
    [filter('equals', tagged('StringValue', 'a'), { modifier: 'none' }), filtered(0, { StringValue: 'a' })],
    [filter('equals', tagged('StringValue', 'a'), { modifier: { nulls_order: 'middle', distinct: 1 } }), filtered(0, { StringValue: 'a' }, { distinct: true, caseInsensitive: false, nulls: 2 })],
    [{ order: [{ field: 'a', sort: 'UP', is_pk: 1 }, { sort: 'ASC_DEFAULT' }] }, { order: [{ field: 'a', sort: 3, isPk: true }] }],
    ['{"lone":"\\ud800","wrapper":{"filters":[{"field_name":"f","filter_type":"equals","value":{"StringValue":{"value":"a\\ud800"}}}]}}', filtered(0, { StringValue: 'a\ufffd' })],
    ['no json', NONE, {}], // {}: everything
    [filter('eqals', tagged('StringValue', 'a')), NONE, { limit: 500 }], // B-21: never a guess
    [filter('0', tagged('StringValue', 'a')), NONE, { limit: 500 }],
    [filter('equals', tagged('Int64Value', '1.5')), NONE, { limit: 500 }],
    [filter('between', range(tagged('Int64Value', 1), tagged('NumberValue', 2))), NONE, { limit: 500 }], // B-22
  ];
  const got = await subscribeAll(t, [...rows.map(([q]) => ({ queryJson: typeof q === 'string' ? q : JSON.stringify(q) })), { queryFbB64: 'no FlatBuffers at all' }], { query_mode: 'lenient' });
  for (const [i, [query, control, call = control]] of rows.entries()) {
    const what = JSON.stringify(query);
    assert.deepEqual(got.control(i), control === NONE ? undefined : asControl(control), `control: ${what}`);
    assert.deepEqual(got.call(i), asGetData(call), `GET_DATA: ${what}`);
  }
  assert.deepEqual(got.raw(rows.length), Buffer.from('no FlatBuffers at all', 'base64'), 'bytes go on as they are');
  assert.deepEqual(got.call(rows.length), asGetData({ limit: 500 }));
});

// --- refused ---------------------------------------------------------------------------------------------------------

/** Of each JSON type one, as text; the lone surrogate is a string. */
const JSON_TYPES = { null: 'null', bool: 'true', number: '1.5', string: '"x"', array: '[]', object: '{}', surrogate: '"\\udc00"', huge: '1e999', 'huge integer': '9223372036854775808', long: `1${'0'.repeat(100)}` };
const TAKES = { // types that are right
  'StringValue.value': ['string'], 'NumberValue.value': ['number', 'huge integer', 'long'], 'BoolValue.value': ['bool'], 'Int64Value.value': [], 'TimestampValue.epoch': [], 'TimestampValue.unit': ['null'],
  'StringList.values': ['array'], 'Int64List.values': ['array'], 'Float64List.values': ['array'], 'BoolList.values': ['array'],
  'StringList.values[0]': ['string'], 'Int64List.values[0]': [], 'Float64List.values[0]': ['number', 'huge integer', 'long'], 'BoolList.values[0]': ['bool'],
};

function wrongValues() {
  const rows = [];
  for (const [place, right] of Object.entries(TAKES)) {
    const [kind, member] = place.split('.');
    for (const [type, json] of Object.entries(JSON_TYPES)) {
      if (right.includes(type)) continue;
      const inside = member.endsWith('[0]') ? `"values":[${json}]` : `"${member}":${json}`;
      const payload = place === 'TimestampValue.unit' ? `"epoch":1,${inside}` : inside;
      rows.push([`{"wrapper":{"filters":[{"field_name":"f","filter_type":"arrayContains","value":{"${kind}":{${payload}}}}]}}`, `$.wrapper.filters[0].value.${place}: `]);
    }
  }
  for (const kind of Object.keys(TAKES).map((p) => p.split('.')[0])) {
    for (const type of ['null', 'bool', 'number', 'string', 'array']) rows.push([`{"wrapper":{"filters":[{"field_name":"f","filter_type":"arrayContains","value":{"${kind}":${JSON_TYPES[type]}}}]}}`, `$.wrapper.filters[0].value.${kind}: `]);
  }
  return rows;
}

function wrongMembers() {
  const rows = [];
  const places = { // path -> [query with @ for the value, types that are right]
    hash: ['{"hash":@}', ['null', 'string']], schema_version: ['{"schema_version":@}', ['null']], limit: ['{"limit":@}', ['null']], offset: ['{"offset":@}', ['null']],
    strict_after: ['{"strict_after":@}', ['null', 'bool']], wrapper: ['{"wrapper":@}', ['null', 'object']], order: ['{"order":@}', ['null', 'array']], cursor: ['{"cursor":@}', ['null', 'array']],
    'wrapper.filter_wrapper_type': ['{"wrapper":{"filters":[],"filter_wrapper_type":@}}', ['null']], 'wrapper.filters': ['{"wrapper":{"filters":@}}', ['array']],
    'wrapper.filters[0]': ['{"wrapper":{"filters":[@]}}', ['object']],
    'wrapper.filters[0].field_name': ['{"wrapper":{"filters":[{"filter_type":"isNull","field_name":@}]}}', ['string']],
    'wrapper.filters[0].filter_type': ['{"wrapper":{"filters":[{"field_name":"f","filter_type":@}]}}', ['null']],
    'wrapper.filters[0].value': ['{"wrapper":{"filters":[{"field_name":"f","filter_type":"isNull","value":@}]}}', ['null']],
    'wrapper.filters[0].modifier': ['{"wrapper":{"filters":[{"field_name":"f","filter_type":"isNull","modifier":@}]}}', ['null', 'object']],
    ...Object.fromEntries(['distinct', 'case_insensitive', 'nulls_order'].map((m) => [`wrapper.filters[0].modifier.${m}`,
      [`{"wrapper":{"filters":[{"field_name":"f","filter_type":"isNull","modifier":{"${m}":@}}]}}`, m === 'nulls_order' ? ['null'] : ['null', 'bool']]])),
    'order[1]': ['{"order":[{"field":"a"},@]}', ['object']], 'order[0].field': ['{"order":[{"field":@}]}', ['string']], 'order[0].sort': ['{"order":[{"field":"a","sort":@}]}', ['null']],
    'order[0].is_pk': ['{"order":[{"field":"a","is_pk":@}]}', ['null', 'bool']],
    'cursor[1]': ['{"cursor":[{"field":"a"},@]}', ['object']], 'cursor[0].field': ['{"cursor":[{"field":@}]}', ['string']], 'cursor[0].value': ['{"cursor":[{"field":"a","value":@}]}', ['null']],
  };
  for (const [place, [query, right]] of Object.entries(places)) {
    for (const [type, json] of Object.entries(JSON_TYPES)) if (!right.includes(type)) rows.push([query.replace('@', json), `$.${place}: `]);
  }
  return rows;
}

const deep = (n) => `{"wrapper":${'{"filter_wrapper_type":"and","filters":['.repeat(n)}${']}'.repeat(n)}}`;
const wide = (n) => `{"wrapper":{"filters":[${Array(n).fill('{"field_name":"f","filter_type":"isNull"}').join()}]}}`;
const fb = (bytes) => ({ queryFbB64: Buffer.from(bytes).toString('base64') });
const REFUSED = [
  ...wrongValues().map(([queryJson, path]) => [{ queryJson }, path]),
  ...wrongMembers().map(([queryJson, path]) => [{ queryJson }, path]),
  [{ queryJson: 'x' }, '$: not JSON'], [{ queryJson: '{"a":1}}' }, '$: not JSON'], [{ queryJson: 'null' }, '$: expected an object'], [{ queryJson: '{"wraper":{}}' }, '$: unknown member "wraper"; nearest: wrapper'],
  [{ queryJson: JSON.stringify({ wrapper: { filters: [...Array(2).fill({ field_name: 'f', filter_type: 'isNull' }), { field_name: 'f', filter_type: 'eqals' }] } }) },
    '$.wrapper.filters[2].filter_type: unknown "eqals"; nearest: equals'], // B-21
  ...['0', '33', 'EQUALS', 'in_list', ''].map((op) => [{ queryJson: JSON.stringify(filter(op)) }, '$.wrapper.filters[0].filter_type: unknown ']), // B-21: numbers are no names
  [{ queryJson: JSON.stringify(filter('between', range(tagged('Int64Value', 1), tagged('NumberValue', 2)))) }, '$.wrapper.filters[0].value.RangeValue: expected two ends of one kind'], // B-22
  [{ queryJson: JSON.stringify(filter('between', range(tagged('Int64Value', 1), tagged('Int64Value', 2), { include_high: false }))) }, '$.wrapper.filters[0].value.RangeValue.include_high: '],
  [{ queryJson: JSON.stringify(filter('equals', range(tagged('Int64Value', 1), tagged('Int64Value', 2)))) }, '$.wrapper.filters[0].value: a RangeValue is for '],
  [{ queryJson: deep(33) }, `$.wrapper${'.filters[0]'.repeat(32)}: nested deeper than 32`], [{ queryJson: deep(2000) }, '$: nested too deep'],
  [{ queryJson: wide(4097) }, '$.wrapper.filters: more than 4096 filters'],
  [fb('no FlatBuffers at all'), '$: not a StreamingSqlDataFilter'], [fb([]), '$: not a StreamingSqlDataFilter'], [fb(Buffer.alloc(65537)), '$: too large'],
  [fb(built({ hash: 'qqqq', limit: 1, big: 1n }).toString('latin1').replace('qqqq', 'q\xed\xa0\x80').split('').map((x) => x.charCodeAt(0))), '$.hash: not UTF-8'],
];

test('wrong input (B-21, B-22), each value with each wrong JSON type: bad_query with the JSON path, the connection alive, nothing produced', { timeout: 120000 }, async (t) => {
  const s = await stage(t, { options: { workers: 1 } });
  const records = await collect(t, s.kafka.brokers, [s.topics.requests, s.topics.control]);
  const c = s.keep(await Client.open(s.hg.url)), bystander = s.keep(await Client.open(s.hg.url));
  await bystander.subscribe('orders', 'live');
  for (const [i, [query]] of REFUSED.entries()) c.send({ op: 'subscribe', table: 't', hashId: `h${i}`, ...(query.queryFbB64 === '' ? { queryFbB64: '=' } : query) });
  await c.ping(60000);
  for (const [i, [query, detail]] of REFUSED.entries()) {
    const { acks, errors } = c.sub(`h${i}`);
    const what = JSON.stringify(query).slice(0, 300);
    assert.equal(errors.length, 1, what);
    assert.equal(errors[0].code, 'bad_query', what);
    assert.ok(errors[0].detail.startsWith(detail), `${what}\n  ${errors[0].detail}\n  expected ${detail}`);
    assert.equal(acks.length, 0, what);
  }
  s.db.commit('orders', 'live', '1', { n: 1 });
  await s.db.flush();
  await bystander.until(() => bystander.binary === 1, { what: 'a diff of the bystander' });
  await c.subscribe('t', 'right');
  await waitFor(() => records.some((r) => r.key === 'demo_t|right'), { what: 'the control record of a right query' });
  assert.deepEqual(records.filter((r) => r.topic === s.topics.control).map((r) => r.key), ['demo_orders|live', 'demo_t|right']);
  assert.equal(s.db.calls.length, 2, 'nothing else reached the SQL worker');
});
