// Every method of rpc (spec 3.4, 11): each alias, default and reply kind over the real gateway, the requests read and the
// replies built by the official FlatBuffers runtime; then the same methods against headgate-sqlworker in --dev. Defects B-26
// (offset, missing limit, strict_after), B-27 (rows encoded twice), B-30 (another's companyId).
// Not tested here: which queries are refused (tests/proto/query_test.c), tables in detail (tests/tools/calls_test.c), replies
// that come late or never (rpc_faults.test.mjs).
import test from 'node:test';
import assert from 'node:assert/strict';
import { Client } from '../support/client.mjs';
import { startHeadgate } from '../support/headgate.mjs';
import { stage } from '../support/stage.mjs';
import { asHeader, makeKey, sign } from '../support/tokens.mjs';
import { waitFor } from '../support/wait.mjs';

const BIG = '9007199254740993'; // the first integer a double can't hold

/** Sends a call; resolves with the frame that answers it. `raw` is its text. */
let n = 0;
async function call(c, method, payload, more = {}) {
  const correlationId = `c${++n}`;
  c.send({ op: 'rpc', method, table: 't', correlationId, payload, ...more });
  return c.message({ op: 'rpcResult', correlationId });
}

// --- requests: [method, payload, what the worker reads of it] ---

const filter = (value) => ({ filter_wrapper_type: 'and', filters: [{ field_name: 'a', filter_type: 'equals', value }] });
const read = (value) => ({ kind: 'and', filters: [{ field: 'a', value, type: 0 }] });
const plain = { wrapper: undefined, limit: 500, offset: 0, strictAfter: true, order: [], cursor: [] };
const cursor = [{ field: 'id', value: { Int64Value: { value: BIG } } }];

const DATA = [
  [undefined, {}],
  [null, {}],
  ['no object', {}],
  [{}, {}],
  [{ limit: null, offset: null, wrapper: null, order: 0, cursor: '' }, {}],
  [{ offset: 7 }, { offset: 7 }],
  [{ limit: 3 }, { limit: 3 }],
  [{ limit: '3', offset: '4' }, { limit: 3, offset: 4 }],
  [{ limit: 3, offset: 4 }, { limit: 3, offset: 4 }], // B-26: the sources lose it
  [{ limit: 0 }, { limit: 0 }], // as asked for: without a limit
  [{ wrapper: filter({ Int64Value: { value: BIG } }), offset: 4 }, { wrapper: read(BigInt(BIG)), offset: 4 }], // B-26: not unlimited
  [{ order: [{ field: 'id', sort: 'ASC_DEFAULT' }], cursor, strict_after: false }, { order: [{ field: 'id', sort: 0 }], cursor: [{ field: 'id', value: BigInt(BIG) }], strictAfter: false }],
  [{ order: [{ field: 'id' }] }, { order: [{ field: 'id', sort: 3 }] }],
  [{ cursor, order: [{ field: 'id' }] }, { cursor: [{ field: 'id', value: BigInt(BIG) }], order: [{ field: 'id', sort: 3 }] }],
  [{ queryJson: JSON.stringify({ wrapper: filter({ StringValue: { value: 'x' } }), limit: 9, offset: 2, strict_after: false }), limit: 1 },
    { wrapper: read('x'), limit: 9, offset: 2, strictAfter: false }],
  [{ queryJson: '{}' }, {}],
  [{ queryJson: '', limit: 5 }, { limit: 5 }],
  [{ queryJson: { limit: 1 }, limit: 5 }, { limit: 5 }], // not a string: form b
].map(([payload, want]) => ['GET_DATA', payload, { ...plain, ...want }]);

const id = (primaryKeyColumn, primaryId) => ({ primaryKeyColumn, primaryId });
const IDS = [
  [undefined, id('id', '')],
  [{ primaryId: 'x' }, id('id', 'x')],
  [{ primary_id: 'x' }, id('id', 'x')],
  [{ primaryId: null, primary_id: 'x' }, id('id', 'x')],
  [{ primaryId: 'x', primary_id: 'y' }, id('id', 'x')],
  [{ primaryId: '', primary_id: 'y' }, id('id', '')],
  [{ primaryId: 0 }, id('id', '0')],
  [{ primaryId: false }, id('id', 'false')],
  [{ primaryKeyColumn: 'k', primaryId: 7 }, id('k', '7')],
  [{ primary_key_column: 'k', primaryId: 7 }, id('k', '7')],
  [{ primaryKeyColumn: '', primary_key_column: 'k' }, id('k', '')],
  [{ primaryKeyColumn: 'k', primary_key_column: 'l' }, id('k', '')],
];

const row = { a: [1, 'x"\u20ac'] }, text = JSON.stringify(row);
const ROWS = [
  [undefined, '{}'],
  ...['row', 'row_json', 'data', 'rowJson', 'row_json_parsed'].flatMap((name) => [[{ [name]: row }, text], [{ [name]: text }, text]]), // B-27
  [{ row: '', row_json: null, data: row }, text],
  [{ row, data: { b: 1 } }, text],
];
const UPDATES = [
  [undefined, '{}'], [{ updates: row }, text], [{ updates: text }, text], [{ updates_json: row }, text], [{ updates_json: text }, text],
  [{ updates: null, updates_json: row }, text], [{ updates: row, updates_json: {} }, text],
];

const tableJson = {
  name: 'orders', comment: 'of the shop', table_options: { fillfactor: '70' },
  columns: [
    { name: 'id', data_type: 'bigInt', constraints: ['primaryKey', 'notNull'] },
    { name: 'note', dataType: 'text', isNullable: true, customOptions: { length: 12, word: 'w' } },
    { name: 'flag', data_type: 'boolean', is_nullable: false, constraints: ['default', 'indexed'] },
    { name: 'kind', data_type: 'char_', is_nullable: true },
  ],
};
const tableRead = {
  name: 'orders', comment: 'of the shop', options: [['fillfactor', '70']],
  columns: [
    { name: 'id', type: 7, nullable: false, constraints: [0, 2], options: undefined },
    { name: 'note', type: 0, nullable: true, constraints: undefined, options: [['length', '12'], ['word', 'w']] },
    { name: 'flag', type: 23, nullable: false, constraints: [4, 5], options: undefined },
    { name: 'kind', type: 2, nullable: true, constraints: undefined, options: undefined },
  ],
};
const TABLES = [{ definition: tableJson }, { definition_json: tableJson }, { definition_json: JSON.stringify(tableJson) }, { definition: tableJson, definition_json: {} }];

const none = { count: false, sum: undefined, average: undefined, minimum: undefined, maximum: undefined, wrapper: undefined };
const AGGREGATIONS = [
  [undefined, {}],
  [{ countEnabled: true }, { count: true }],
  [{ countEnabled: false, count_enabled: 'yes' }, { count: true }],
  [{ countEnabled: 0, count_enabled: '' }, {}],
  [{ sumFields: ['a', 'b'], averageFields: ['c'], minimumFields: ['d'], maximumFields: ['e'] }, { sum: ['a', 'b'], average: ['c'], minimum: ['d'], maximum: ['e'] }],
  [{ sum_fields: ['a'], average_fields: ['c'], minimum_fields: ['d'], maximum_fields: ['e'] }, { sum: ['a'], average: ['c'], minimum: ['d'], maximum: ['e'] }],
  [{ sumFields: null, sum_fields: ['a'] }, { sum: ['a'] }],
  [{ sumFields: ['a'], sum_fields: ['b'] }, { sum: ['a'] }],
  [{ countEnabled: 1, wrapper: filter({ Int64Value: { value: `-${BIG}` } }) }, { count: true, wrapper: read(-BigInt(BIG)) }],
];

const REQUESTS = [
  ...DATA,
  ...['GET_SINGLE', 'ADD_SINGLE', 'UPDATE_SINGLE', 'DELETE_ROW'].flatMap((m) => IDS.map(([p, want]) => [m, p, m === 'ADD_SINGLE' ? { primaryKeyColumn: want.primaryKeyColumn } : want])),
  ...ROWS.map(([p, want]) => ['ADD_SINGLE', p, { row: want }]),
  ...UPDATES.map(([p, want]) => ['UPDATE_SINGLE', p, { updates: want }]),
  ...TABLES.map((p) => ['CREATE_TABLE', p, { tableName: undefined, definition: tableRead }]),
  ['TABLE_EXISTS', undefined, {}],
  ...AGGREGATIONS.map(([p, want]) => ['RUN_AGGREGATION', p, { ...none, ...want }]),
];

/** Calls each and compares what the worker read. */
async function reach(s, c, requests) {
  for (const [method, payload, want] of requests) {
    const what = `${method} ${JSON.stringify(payload)}`;
    const { correlationId, ...answer } = await call(c, method, payload);
    assert.deepEqual(answer, { op: 'rpcResult', method, ok: true, data: true }, `${what}: ${correlationId}`);
    const got = s.db.calls.at(-1);
    for (const [k, v] of Object.entries({ method, companyId: 'demo', tableName: 't', ...want })) assert.deepEqual(got[k], v, `${what}: ${k}`);
    assert.equal(got.payloadType, 1 + ['GET_DATA', 'GET_SINGLE', 'ADD_SINGLE', 'UPDATE_SINGLE', 'DELETE_ROW', 'CREATE_TABLE', 'TABLE_EXISTS', 'RUN_AGGREGATION'].indexOf(method));
    assert.deepEqual([got.key, got.headers], [got.correlationId, {}], 'the record: key and headers');
    assert.match(got.correlationId, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  }
}

/** A gateway whose SQL worker says yes to everything, and a client. */
async function yes(t, options = {}) {
  const s = await stage(t, { sql: { reply: () => ({ bool: true }) }, options: { workers: 1, ...options } });
  return { s, c: s.keep(await Client.open(s.hg.url)) };
}

test('every method, alias and default reaches the worker as meant', { timeout: 120000 }, async (t) => {
  const { s, c } = await yes(t);
  await reach(s, c, REQUESTS);
  // Where the table stands.
  for (const [more, payload, want] of [
    [{ table: 'a' }, { tableName: 'b', table: 'c' }, 'a'], [{ table: '' }, { tableName: 'b', table: 'c' }, 'b'],
    [{ table: undefined }, { table: 'c' }, 'c'], [{ companyId: 'demo' }, {}, 't'], [{ companyId: '' }, {}, 't'],
  ]) {
    assert.equal((await call(c, 'TABLE_EXISTS', payload, more)).ok, true);
    assert.equal(s.db.calls.at(-1).tableName, want);
    assert.equal(s.db.calls.at(-1).companyId, 'demo');
  }
});

test('B-26: offset, the default limit and strict_after count beside wrapper, order and cursor', { timeout: 60000 }, async (t) => {
  const { s, c } = await yes(t);
  const wrapper = filter({ StringValue: { value: 'x' } }), order = [{ field: 'id', sort: 'ASC_DEFAULT' }];
  const asRead = { ...plain, wrapper: read('x') };
  await reach(s, c, [
    ['GET_DATA', { wrapper, limit: 3, offset: 4 }, { ...asRead, limit: 3, offset: 4 }],
    ['GET_DATA', { wrapper, offset: 4 }, { ...asRead, limit: 500, offset: 4 }],
    ['GET_DATA', { wrapper }, { ...asRead, limit: 500 }],
    ['GET_DATA', { order, cursor }, { ...plain, limit: 500, order: [{ field: 'id', sort: 0 }], cursor: [{ field: 'id', value: BigInt(BIG) }] }],
    ['GET_DATA', { wrapper, strict_after: false }, { ...asRead, strictAfter: false }],
    ['GET_DATA', { wrapper, strict_after: true }, asRead],
    ['GET_DATA', { queryJson: JSON.stringify({ wrapper, strict_after: false }) }, { ...asRead, strictAfter: false }],
    ['GET_DATA', { queryJson: JSON.stringify({ wrapper, offset: 6 }) }, { ...asRead, offset: 6, limit: 500 }],
    ['GET_DATA', { queryJson: JSON.stringify({ wrapper, limit: 7, offset: 6 }) }, { ...asRead, offset: 6, limit: 7 }],
  ]);
});

test('B-27: a row or updates given as JSON text are passed on as they are, not encoded twice', { timeout: 60000 }, async (t) => {
  const { s, c } = await yes(t);
  const odd = ` { "n" : ${BIG}, "s" : "\\u20ac \\"q\\"" }\n`;
  await reach(s, c, [
    ...['row', 'row_json', 'data', 'rowJson', 'row_json_parsed'].flatMap((name) => [[{ [name]: text }, text], [{ [name]: odd }, odd]]).map(([p, want]) => ['ADD_SINGLE', p, { row: want }]),
    ...['updates', 'updates_json'].flatMap((name) => [[{ [name]: text }, text], [{ [name]: odd }, odd]]).map(([p, want]) => ['UPDATE_SINGLE', p, { updates: want }]),
  ]);
});

test("B-30: a companyId that is not the connection's tenant is refused for every method, and the worker never hears of it", { timeout: 60000 }, async (t) => {
  const { s, c } = await yes(t, { trusted_proxies: '127.0.0.0/8' });
  const acme = s.keep(await Client.open(s.hg.url, { headers: { 'x-tenant': 'acme' } }));
  const payload = { primaryId: 1, row: {}, updates: {}, definition: tableJson };
  const methods = ['GET_DATA', 'GET_SINGLE', 'ADD_SINGLE', 'UPDATE_SINGLE', 'DELETE_ROW', 'CREATE_TABLE', 'TABLE_EXISTS', 'RUN_AGGREGATION', 'Nope'];
  for (const [who, companyId] of [[c, 'acme'], [acme, 'demo'], [acme, 'Acme'], [acme, 'acme '], [acme, 'acme\u0000']]) {
    for (const method of methods) assert.match((await call(who, method, payload, { companyId })).error, /^forbidden: companyId/, `${method} ${companyId}`);
  }
  assert.equal(s.db.calls.length, 0);
  for (const [who, company] of [[c, 'demo'], [acme, 'acme']]) {
    for (const more of [{}, { companyId: '' }, { companyId: company }]) {
      assert.equal((await call(who, 'DELETE_ROW', payload, more)).ok, true);
      assert.equal(s.db.calls.at(-1).companyId, company);
    }
  }
});

test('B-30: who has the permission any_company, by a claim or by default, may name another companyId; nobody else', { timeout: 60000 }, async (t) => {
  const key = makeKey('ES256');
  const s = await stage(t, { sql: { reply: () => ({ bool: true }) }, options: { workers: 1, auth: 'jwt', jwt_keys: key.item, default_permissions: 'join,any_company' } });
  const open = async (permissions) => s.keep(await Client.open(s.hg.url, asHeader(await sign(key, { permissions }))));
  const [admin, byDefault, user, none] = await Promise.all([['join', 'any_company'], undefined, ['join', 'publish', 'publish_all'], []].map(open));
  for (const who of [admin, byDefault]) {
    assert.equal((await call(who, 'UPDATE_SINGLE', { primaryId: 1 }, { companyId: 'globex' })).ok, true);
    assert.equal(s.db.calls.at(-1).companyId, 'globex');
    assert.equal((await call(who, 'GET_DATA', {})).ok, true);
    assert.equal(s.db.calls.at(-1).companyId, 'acme', 'the tenant stays the default');
  }
  const before = s.db.calls.length;
  for (const who of [user, none]) assert.match((await call(who, 'GET_DATA', {}, { companyId: 'globex' })).error, /^forbidden: companyId/);
  assert.equal(s.db.calls.length, before);
});

test("an id that is a number is sent as JavaScript's String() writes it, integers to the last digit", { timeout: 60000 }, async (t) => {
  const { s, c } = await yes(t);
  // [as a client may write it (Dart has 1.0), as v3 sent it]; BIG and what follows would have been rounded there.
  const ids = [['1.0', '1'], ['1e3', '1000'], ['-0', '0'], ['1.50', '1.5'], ['1E+21', '1e+21'], ['1e-7', '1e-7'], ['0.1', '0.1'], ['7', '7'], ['-7', '-7'],
    ['1e999', 'Infinity'], [BIG, BIG], ['18446744073709551615', '18446744073709551615'], ['true', 'true']];
  for (const [written, sent] of ids) {
    for (const payload of [`{"primaryId":${written}}`, `{"primary_id":${written}}`]) {
      const correlationId = `s${++n}`;
      c.send(`{"op":"rpc","method":"GET_SINGLE","table":"t","correlationId":"${correlationId}","payload":${payload}}`);
      assert.equal((await c.message({ op: 'rpcResult', correlationId })).ok, true);
      assert.equal(s.db.calls.at(-1).primaryId, sent, payload);
    }
  }
  c.send('{"op":"rpc","method":"DELETE_ROW","table":"t","correlationId":"col","payload":{"primaryKeyColumn":2.0,"primaryId":"1.0"}}');
  await c.message({ op: 'rpcResult', correlationId: 'col' });
  assert.deepEqual([s.db.calls.at(-1).primaryKeyColumn, s.db.calls.at(-1).primaryId], ['2', '1.0'], 'text stays as it is');
});

const MIN = '-9223372036854775808', MAX = '9223372036854775807';
const LONG = [BIG, `-${BIG}`, MIN, MAX];

test('64-bit integers stay exact: in ids, rows, updates, filters and cursors to the worker, in rows and cursors from it', { timeout: 60000 }, async (t) => {
  let reply = { bool: true };
  const s = await stage(t, { sql: { reply: () => reply }, options: { workers: 1 } });
  const c = s.keep(await Client.open(s.hg.url));
  const texts = [];
  c.ws.on('message', (data) => texts.push(data.toString()));
  // Numbers are written bare: JSON.stringify could not.
  const bare = async (method, payload) => {
    const correlationId = `i${++n}`;
    c.send(`{"op":"rpc","method":"${method}","table":"t","correlationId":"${correlationId}","payload":${payload}}`);
    await c.message({ op: 'rpcResult', correlationId });
    return texts.find((x) => x.includes(`"${correlationId}"`));
  };
  for (const x of LONG) {
    await bare('UPDATE_SINGLE', `{"primaryId":${x},"updates":{"n":${x},"l":[${x}]}}`);
    assert.deepEqual([s.db.calls.at(-1).primaryId, s.db.calls.at(-1).updates], [x, `{"n":${x},"l":[${x}]}`]);
    await bare('ADD_SINGLE', `{"row":{"n":${x}}}`);
    assert.equal(s.db.calls.at(-1).row, `{"n":${x}}`);
    for (const value of [x, `"${x}"`]) { // a number, or a decimal string
      const kinds = [`{"Int64Value":{"value":${value}}}`, `{"TimestampValue":{"epoch":${value},"unit":"MICROS"}}`];
      for (const kind of kinds) {
        await bare('GET_DATA', `{"wrapper":{"filter_wrapper_type":"and","filters":[{"field_name":"a","filter_type":"equals","value":${kind}}]},"order":[{"field":"id","sort":"ASC_DEFAULT"}],"cursor":[{"field":"id","value":${kind}}]}`);
        assert.equal(s.db.calls.at(-1).wrapper.filters[0].value, BigInt(x), kind);
        assert.equal(s.db.calls.at(-1).cursor[0].value, BigInt(x), kind);
      }
    }
    reply = { rows: [`{"n":${x},"l":[${x}]}`], cursor: [['n', BigInt(x)], ['at', { epoch: BigInt(x) }], ['l', [BigInt(x)]]] };
    assert.match(await bare('GET_DATA', '{}'), new RegExp(`"data":\\{"rows":\\[\\{"n":${x},"l":\\[${x}\\]\\}\\],"cursor":\\{"n":${x},"at":${x},"l":\\[${x}\\]\\}\\}\\}$`));
    reply = { row: `{"n":${x}}` };
    assert.match(await bare('GET_SINGLE', '{}'), new RegExp(`"data":\\{"n":${x}\\}\\}$`));
    reply = { bool: true };
  }
});

// --- replies: [what the worker says, `data` as text] ---

const REPLIES = [
  [{}, 'null'],
  [{ rows: [] }, '[]'],
  [{ rows: [`{"id":${BIG}}`, '{"x":"\u20ac"}'] }, `[{"id":${BIG}},{"x":"\u20ac"}]`],
  [{ row: `{"id":-9223372036854775808}` }, '{"id":-9223372036854775808}'],
  [{ row: '' }, 'null'],
  [{ row: null }, 'null'],
  [{ bool: true }, 'true'],
  [{ bool: false }, 'false'],
  [{ agg: {} }, '{}'],
  [{ agg: { count: 4294967295 } }, '{"count":4294967295}'],
  [{ agg: { count: 2, sum: { a: BIG, b: '0.5' }, average: { a: '1e3' }, minimum: { a: '-1' }, maximum: { a: 'x', b: '' } } },
    `{"count":2,"sumValues":{"a":${BIG},"b":0.5},"avgValues":{"a":1e3},"minimumValues":{"a":-1},"maximumValues":{"a":null,"b":0}}`],
  [{ agg: { count: 0, sum: { a: '1' } } }, '{"sumValues":{"a":1}}'],
  [{ rows: ['{}'], cursor: [] }, '{"rows":[{}],"cursor":{}}'],
  [{ rows: [], cursor: [['id', BigInt(BIG)], ['', 1n], ['at', { epoch: -BigInt(BIG) }], ['d', 0.1], ['f', true], ['z', null], ['s', 'x"'], ['l', [1n, BigInt(BIG)]], ['w', ['a', 'b']], ['lsn', 7n]] },
    `{"rows":[],"cursor":{"id":${BIG},"at":-${BIG},"d":0.1,"f":true,"z":null,"s":"x\\"","l":[1,${BIG}],"w":["a","b"],"lsn":7}}`],
];

test('every reply kind becomes data, to the last digit; errors have the spec\'s words', { timeout: 120000 }, async (t) => {
  let reply;
  const s = await stage(t, { sql: { reply: () => reply }, options: { workers: 1 } });
  const c = s.keep(await Client.open(s.hg.url));
  const texts = [];
  c.ws.on('message', (data) => texts.push(data.toString()));
  const answered = async (correlationId) => {
    await c.message({ op: 'rpcResult', correlationId });
    return texts.find((x) => x.includes(`"correlationId":"${correlationId}"`));
  };
  for (const [i, [says, data]] of REPLIES.entries()) {
    reply = says;
    c.send({ op: 'rpc', method: 'GET_DATA', table: 't', correlationId: `r${i}.` });
    assert.equal(await answered(`r${i}.`), `{"op":"rpcResult","method":"GET_DATA","correlationId":"r${i}.","ok":true,"data":${data}}`);
  }
  for (const [i, [says, error]] of [
    [{ ok: false, errorCode: 1, errorMessage: 'no "such" table' }, 'no "such" table'],
    [{ ok: false, errorCode: 2 }, 'rpc error'],
    [{ ok: false, errorMessage: '' }, 'rpc error'],
    [{ rows: ['{}', '{"half":'] }, 'the reply holds a row that is not JSON'],
    [{ row: 'NaN' }, 'the reply holds a row that is not JSON'],
  ].entries()) {
    reply = says;
    c.send({ op: 'rpc', method: 'GET_SINGLE', table: 't', correlationId: `e${i}.` });
    assert.equal(await answered(`e${i}.`), `{"op":"rpcResult","method":"GET_SINGLE","correlationId":"e${i}.","ok":false,"error":${JSON.stringify(error)}}`);
  }
  // Without a correlation id there is none in the answer; an empty one is one.
  reply = { bool: true };
  c.send({ op: 'rpc', method: 'TABLE_EXISTS', table: 't' });
  assert.deepEqual(await c.message({ method: 'TABLE_EXISTS', ok: true }), { op: 'rpcResult', method: 'TABLE_EXISTS', ok: true, data: true });
  c.send({ op: 'rpc', method: 'Nope' });
  assert.deepEqual(await c.message({ method: 'Nope' }), { op: 'rpcResult', method: 'Nope', ok: false, error: 'Unknown RPC method: Nope' });
  c.send({ op: 'rpc', method: 'get_data', table: 't', correlationId: '' });
  assert.deepEqual(await c.message({ method: 'get_data' }), { op: 'rpcResult', method: 'get_data', correlationId: '', ok: false, error: 'Unknown RPC method: get_data' });

  // What is wrong is told without asking the worker; the connection stays.
  const before = s.db.calls.length;
  for (const [method, payload, error, more] of [
    ['GET_DATA', { wrapper: { filters: [{ field_name: 'a', filter_type: 'like', value: {} }] } }, /^bad_query: \$\.wrapper\.filters\[0\]\.filter_type: unknown "like"$/],
    ['GET_DATA', { queryJson: '{"wrapper":{"filters":[{"field_name":"a","filter_type":"regx","value":{"StringValue":{"value":"x"}}}]}}' }, /^bad_query: \$\.wrapper\.filters\[0\]\.filter_type: /],
    ['GET_DATA', { queryJson: '{"wraper":{}}' }, /^bad_query: \$: unknown member "wraper"; nearest: wrapper$/],
    ['GET_DATA', { queryJson: '{' }, /^bad_query: \$: not JSON$/],
    ['GET_DATA', { limit: -1 }, /^bad_query: \$\.limit: /],
    ['GET_DATA', { limit: 'ten' }, /^bad_query: \$\.limit: /],
    ['RUN_AGGREGATION', { wrapper: { filter_wrapper_type: 'xor', filters: [] } }, /^bad_query: \$\.wrapper\.filter_wrapper_type: /],
    ['RUN_AGGREGATION', { sumFields: 'a' }, /^payload\.sumFields: expected an array of strings$/],
    ['RUN_AGGREGATION', { maximum_fields: ['a', 1] }, /^payload\.maximumFields: expected an array of strings$/],
    ['ADD_SINGLE', { row: [1] }, /^payload\.row: /], ['ADD_SINGLE', { row_json: '[1]' }, /^payload\.row: /], ['ADD_SINGLE', { row: 7 }, /^payload\.row: /],
    ['UPDATE_SINGLE', { updates: '{' }, /^payload\.updates: /], ['UPDATE_SINGLE', { updates: 0 }, /^payload\.updates: /],
    ['DELETE_ROW', { primaryId: {} }, /^payload\.primaryId: /], ['GET_SINGLE', { primaryKeyColumn: ['id'] }, /^payload\.primaryKeyColumn: /],
    ['CREATE_TABLE', {}, /^definition: \$: expected an object$/], ['CREATE_TABLE', { definition_json: '{' }, /not JSON/],
    ['CREATE_TABLE', { definition: { name: 't', columns: [{ name: 'a', data_type: 'int' }] } }, /^definition: \$\.columns\[0\]\.data_type: /],
    ['TABLE_EXISTS', {}, /^table: expected/, { table: '' }],
  ]) {
    const answer = await call(c, method, payload, more);
    assert.equal(answer.ok, false, `${method} ${JSON.stringify(payload)}`);
    assert.match(answer.error, error);
  }
  for (const bad of [{ method: '' }, { method: 7 }, { companyId: 7 }, { table: {} }, { correlationId: 7 }]) {
    const from = c.messages.length;
    c.send({ op: 'rpc', method: 'GET_DATA', table: 't', ...bad });
    assert.equal((await c.message({ op: 'error' }, { from })).code, 'bad_op');
  }
  await c.ping();
  assert.equal(s.db.calls.length, before);
});

test('in a lenient profile a broken query means all rows, an unknown operator never does; a call without a table is sent', { timeout: 60000 }, async (t) => {
  const s = await stage(t, { sql: { reply: () => ({ rows: [] }) }, options: { workers: 1, profile: 'v3' } });
  const c = s.keep(await Client.open(s.hg.url));
  for (const queryJson of ['{', 'null', '[1]', '7']) {
    assert.equal((await call(c, 'GET_DATA', { queryJson })).ok, true, queryJson);
    assert.equal(s.db.calls.at(-1).limit, 500);
  }
  assert.match((await call(c, 'GET_DATA', { wrapper: { filters: [{ field_name: 'a', filter_type: 'like' }] } })).error, /^bad_query: /); // B-21
  // Without a table: the worker decides, as v3 left it to it.
  assert.deepEqual((await call(c, 'TABLE_EXISTS', {}, { table: undefined })).data, []);
  assert.equal(s.db.calls.at(-1).tableName, '');
});

// --- headgate-sqlworker ---

test('the SQL worker of --dev answers all eight methods, and a table made by a call is live', { timeout: 120000 }, async (t) => {
  const hg = await startHeadgate({ flags: ['--dev'], options: { workers: 1, rpc_timeout: '5s' }, expectErrors: [/kafka/i, /broker/] });
  t.after(() => !hg.isRunning() || hg.stop('SIGINT'));
  const c = await Client.open(hg.url);
  t.after(() => c.terminate());
  const texts = [];
  c.ws.on('message', (data) => texts.push(data.toString()));
  c.rawBinary = () => {};
  const data = async (method, payload, table = 'orders') => {
    const r = await call(c, method, payload, { table });
    assert.equal(r.ok, true, `${method} ${JSON.stringify(payload)}: ${r.error}`);
    return r.data;
  };
  const error = async (method, payload, table = 'orders') => (await call(c, method, payload, { table })).error;

  await waitFor(async () => (await call(c, 'TABLE_EXISTS', {}, { table: 'tasks' })).data === true, { ms: 60000, what: 'the SQL worker' });
  assert.equal(await data('TABLE_EXISTS', {}), false);
  const columns = [
    { name: 'id', data_type: 'bigSerial', constraints: ['primaryKey'] },
    { name: 'state', data_type: 'text', constraints: ['indexed'] },
    { name: 'amount', data_type: 'bigInt', is_nullable: true },
    { name: 'paid', data_type: 'boolean', is_nullable: true },
    { name: 'tags', data_type: 'textArray', is_nullable: true },
  ];
  assert.equal(await data('CREATE_TABLE', { definition_json: JSON.stringify({ name: 'orders', columns }) }), true);
  assert.match(await error('CREATE_TABLE', { definition: { name: 'Orders', columns } }), /there already/);
  assert.match(await error('CREATE_TABLE', { definition: { name: 'o2', columns: [{ name: 'b', data_type: 'bytea', constraints: ['primaryKey'] }] } }), /bytea.*not supported/);
  assert.equal(await data('TABLE_EXISTS', {}), true);

  await c.subscribe('orders', 'live', { queryJson: JSON.stringify({ wrapper: { filters: [{ field_name: 'state', value: { StringValue: { value: 'open' } } }] } }) });
  const first = await data('ADD_SINGLE', { row: { state: 'open', amount: 5, paid: true, tags: ['a'] } });
  assert.deepEqual(first, { id: 1, state: 'open', amount: 5, paid: true, tags: ['a'], company_id: 'demo' });
  await c.until(() => c.binary >= 1, { what: 'the diff of the new row' });
  c.send(`{"op":"rpc","method":"ADD_SINGLE","table":"orders","correlationId":"big","payload":{"row_json":"{\\"state\\":\\"open\\",\\"amount\\":${BIG}}"}}`);
  await c.message({ correlationId: 'big' });
  assert.match(texts.find((x) => x.includes('"correlationId":"big"')), new RegExp(`"amount":${BIG},`));
  await data('ADD_SINGLE', { data: { state: 'done' } });
  assert.match(await error('ADD_SINGLE', { row: { state: 'x', company_id: 'acme' } }), /another company/);

  assert.equal(await data('UPDATE_SINGLE', { primaryId: 1, updates: { amount: 6 } }), true);
  assert.equal((await data('GET_SINGLE', { primaryId: 1 })).amount, 6);
  assert.equal(await data('GET_SINGLE', { primaryId: 99 }), null);
  assert.deepEqual((await data('GET_DATA', { limit: 1, offset: 1 })).map((r) => r.id), [2]); // B-26
  const page = await data('GET_DATA', { order: [{ field: 'id', sort: 'ASC_DEFAULT' }], limit: 2 });
  assert.deepEqual([page.rows.map((r) => r.id), page.cursor], [[1, 2], { id: 2 }]);
  const after = (strict_after) => data('GET_DATA', { order: [{ field: 'id', sort: 'ASC_DEFAULT' }], cursor: [{ field: 'id', value: { Int64Value: { value: 2 } } }], strict_after });
  assert.deepEqual((await after(true)).rows.map((r) => r.id), [3]);
  assert.deepEqual((await after(false)).rows.map((r) => r.id), [2, 3]);

  c.send({ op: 'rpc', method: 'RUN_AGGREGATION', table: 'orders', correlationId: 'agg', payload: { countEnabled: true, sumFields: ['amount'], averageFields: ['id'], minimumFields: ['amount', 'id'], maximumFields: ['amount'] } });
  await c.message({ correlationId: 'agg' });
  assert.equal(texts.find((x) => x.includes('"correlationId":"agg"')).replace(/.*"data":/, ''),
    `{"count":3,"sumValues":{"amount":${BigInt(BIG) + 6n}},"avgValues":{"id":2},"minimumValues":{"amount":6,"id":1},"maximumValues":{"amount":${BIG}}}}`);
  assert.deepEqual(await data('RUN_AGGREGATION', { count_enabled: 1, sum_fields: ['amount'], wrapper: { filters: [{ field_name: 'state', value: { StringValue: { value: 'done' } } }] } }), { count: 1 });
  assert.match(await error('RUN_AGGREGATION', { sumFields: ['state'] }), /not a column of numbers/);
  assert.match(await error('RUN_AGGREGATION', {}), /nothing to aggregate/);

  const diffs = c.binary;
  assert.equal(await data('DELETE_ROW', { primary_id: 1 }), true);
  assert.equal(await data('DELETE_ROW', { primary_id: 1 }), false);
  await c.until(() => c.binary > diffs, { what: 'the diff of the removed row' });
  c.terminate();
  await hg.stop('SIGINT');
});
