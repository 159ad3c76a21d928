// headgate-sqlworker as a program of its own on a real Kafka: --mock (spec 13.4), --help, its old environment names; and all
// operators on SQLite through the gateway.
// Not tested here: which rows each operator gives (tests/tools/sqlops_test.c, sqlquery_test.c), the methods (rpc_methods.test.mjs).
import test from 'node:test';
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { Client } from '../support/client.mjs';
import { cleanEnv, startHeadgate } from '../support/headgate.mjs';
import { kafkaClient, sharedKafka } from '../support/kafka.mjs';
import { build, run, start, stop, tempDir } from '../support/proc.mjs';
import { decodeReply, encodeRequest } from '../support/sqlwire.mjs';
import { stage } from '../support/stage.mjs';
import { waitFor } from '../support/wait.mjs';

const program = path.join(build, 'tools/headgate-sqlworker');

/** The program, until the test ends: { log() }. */
function worker(t, args, env = {}) {
  const log = path.join(tempDir('sqlworker'), 'log');
  const child = start([program, ...args], { file: log, env: cleanEnv(env) });
  t.after(() => stop(child, 'SIGTERM', 20000));
  return { child, log: () => readFileSync(log, 'utf8') };
}

let n = 0;
async function call(c, method, payload, more = {}) {
  const correlationId = `c${++n}`;
  c.send({ op: 'rpc', method, table: 't', correlationId, payload, ...more });
  return c.message({ op: 'rpcResult', correlationId });
}
const METHODS = ['GET_DATA', 'GET_SINGLE', 'ADD_SINGLE', 'UPDATE_SINGLE', 'DELETE_ROW', 'CREATE_TABLE', 'TABLE_EXISTS', 'RUN_AGGREGATION'];

test('--mock answers every method with one row, in group mock-sql-worker, with the old environment names', { timeout: 90000 }, async (t) => {
  const s = await stage(t, { sql: false, options: { workers: 1, rpc_timeout: '1s' } });
  const w = worker(t, ['--mock'], { KAFKA_BROKERS: s.kafka.brokers, SQL_RPC_REQUEST_TOPIC: s.topics.requests });
  const c = s.keep(await Client.open(s.hg.url));
  // It answers whoever asks from now on: until it has its share, calls run out.
  await waitFor(async () => (await call(c, 'TABLE_EXISTS', {})).ok, { ms: 60000, what: () => `the mock; its log:\n${w.log()}` });
  const definition = { name: 'x', columns: [{ name: 'id', data_type: 'bigInt' }] };
  for (const method of METHODS) assert.deepEqual((await call(c, method, { primaryId: 1, definition })).data, [{ mock: true }], method);
  await c.subscribe('t', 'h'); // a snapshot is a call like others
  assert.deepEqual((await c.message({ op: 'snapshot' })).rows, [{ mock: true }]);

  const admin = kafkaClient(s.kafka.brokers).admin();
  await admin.connect();
  const members = (await admin.describeGroups(['mock-sql-worker'])).groups[0].members;
  await admin.disconnect();
  assert.ok(members.length >= 1, 'it is a member of its group');
});

test('--mock answers a request without reply topic on sql.rpc.responses, and passes over what is no request', { timeout: 90000 }, async (t) => {
  const s = await stage(t, { sql: false, options: { workers: 1 } });
  const w = worker(t, ['--mock', '--solo', '--brokers', s.kafka.brokers, '--topic', s.topics.requests]);
  const kafka = kafkaClient(s.kafka.brokers);
  const admin = kafka.admin();
  await admin.connect();
  await admin.createTopics({ waitForLeaders: true, topics: [{ topic: 'sql.rpc.responses', numPartitions: 1 }] });
  await admin.disconnect();
  const replies = [];
  const consumer = kafka.consumer({ groupId: `replies-${s.topics.tag}` });
  const producer = kafka.producer();
  t.after(() => Promise.allSettled([consumer.disconnect(), producer.disconnect()]));
  await Promise.all([consumer.connect(), producer.connect()]);
  await consumer.subscribe({ topic: 'sql.rpc.responses', fromBeginning: true });
  await consumer.run({ eachMessage: async ({ message }) => { replies.push(message); } });
  const id = `asks-${s.topics.tag}`;
  await producer.send({
    topic: s.topics.requests,
    messages: [{ value: 'no flatbuffer' }, { value: null, key: 'x' }, { value: encodeRequest({ correlationId: id, method: 'TABLE_EXISTS' }) }],
  });
  const mine = () => replies.find((m) => m.key?.toString() === id);
  await waitFor(mine, { ms: 60000, what: () => `the reply; the mock's log:\n${w.log()}` });
  assert.deepEqual(decodeReply(mine().value), { correlationId: id, ok: true, errorCode: 0, errorMessage: undefined, rows: ['{"mock":true}'] });
});

test('a reply to a topic that is gone does not make it anew; the topic of requests is made', { timeout: 90000 }, async (t) => {
  const kafka = await sharedKafka(), tag = randomBytes(4).toString('hex');
  const admin = kafkaClient(kafka.brokers).admin(), producer = kafkaClient(kafka.brokers).producer();
  await Promise.all([admin.connect(), producer.connect()]);
  t.after(() => Promise.allSettled([admin.disconnect(), producer.disconnect()]));
  const w = worker(t, ['--db', path.join(tempDir('db'), 'x.db'), '--seed', '--brokers', kafka.brokers, '--topic', `requests.${tag}`, '--group', `workers-${tag}`]);
  await waitFor(() => w.log().includes('serving'), { ms: 40000, what: () => `the worker; its log:\n${w.log()}` });
  assert.deepEqual((await admin.listTopics()).filter((name) => name.endsWith(tag)), [`requests.${tag}`]);
  const ask = (correlationId, replyTopic) => ({ key: correlationId, value: encodeRequest({ correlationId, replyTopic, method: 'TABLE_EXISTS', tableName: 'tasks' }) });
  await producer.send({ topic: `requests.${tag}`, messages: [{ ...ask('old', `gone.${tag}`), timestamp: String(Date.now() - 100000) }, ask('late', `gone.${tag}`)] });
  await waitFor(() => w.log().includes(`reply to gone.${tag}: `), { ms: 40000, what: () => `the worker to give up; its log:\n${w.log()}` });
  assert.deepEqual((await admin.listTopics()).filter((name) => name.endsWith(tag)), [`requests.${tag}`]);
  assert.match(w.log(), /dropped a request of 10\d s ago \(--max-age\)/);
  assert.equal(w.log().match(/reply to/g).length, 1, 'the old one was not run');
});

test('--help names its options; a bad one is told with the nearest right one; without a database or --mock it does not start', { timeout: 30000 }, async () => {
  const help = await run([program, '--help'], { env: cleanEnv() });
  assert.equal(help.code, 0);
  for (const option of ['brokers', 'db', 'seed', 'mock', 'solo', 'group', 'topic', 'max-age', 'max-reply', 'max-time']) assert.match(help.stdout, new RegExp(`--${option}\\b`));
  const man = readFileSync(path.join(build, '../../docs/man/headgate-sqlworker.1'), 'utf8');
  for (const [, option] of help.stdout.matchAll(/^ +--([a-z-]+)/gm)) assert.match(man, new RegExp(`Fl -${option}\\b`), `--${option} in the man page`);
  for (const [args, says] of [
    [['--broker', 'x'], '--broker: unknown option; the nearest is --brokers (try --help)'],
    [['--max-agee=3'], '--max-agee=3: unknown option; the nearest is --max-age (try --help)'],
    [['--xyz'], '--xyz: unknown option (try --help)'], [['mock'], 'mock: not an option (try --help)'],
    [['--db'], '--db: needs a value (try --help)'], [['--mock', '--topic='], '--topic: needs a value (try --help)'],
    [['--mock', '--group', ''], '--group: needs a value (try --help)'], [['--mock=1'], '--mock=1: takes no value (try --help)'],
    [['--mock', '--max-age', '30s'], '--max-age: not a number (try --help)'],
    [['--mock', '--max-age', '1'], '--max-age: out of range, 100 to 2147483647 (try --help)'],
  ]) {
    const r = await run([program, ...args], { env: cleanEnv() });
    assert.deepEqual([r.code, r.stderr.trim()], [2, `headgate-sqlworker: ${says}`]);
  }
  for (const args of [[], ['--mock', '--db', '/nonexistent/x']]) {
    const r = await run([program, ...args], { env: cleanEnv() });
    assert.equal(r.code, 1);
    assert.match(r.stderr, /either --db FILE or --mock/);
  }
});

// --- every operator, through the gateway, on SQLite ---

const V = {
  text: (value) => ({ StringValue: { value } }), int: (value) => ({ Int64Value: { value } }), texts: (...values) => ({ StringList: { values } }),
  ints: (...values) => ({ Int64List: { values } }), range: (low, high) => ({ RangeValue: { low: V.int(low), high: V.int(high) } }), null: { NullValue: {} },
};
// operator: [field, a value that row 1 matches, one that only row 2 or none matches], or two fields without values
const OPERATORS = {
  equals: ['title', V.text('Alpha'), V.text('x')], notEquals: ['title', V.text('x'), V.text('Alpha')],
  lessThan: ['n', V.int(6), V.int(5)], lessThanOrEquals: ['n', V.int(5), V.int(4)], greaterThan: ['n', V.int(4), V.int(5)], greaterThanOrEquals: ['n', V.int(5), V.int(6)],
  isNull: ['nothing', V.null, 'title'], isNotNull: ['title', V.null, 'nothing'],
  regex: ['title', V.text('^A\\w+a$'), V.text('^a')], notRegex: ['title', V.text('^a'), V.text('^A')],
  startsWith: ['title', V.text('Al'), V.text('al')], endsWith: ['title', V.text('ha'), V.text('Al')], contains: ['title', V.text('lph'), V.text('LPH')],
  notContains: ['title', V.text('LPH'), V.text('lph')],
  arrayContains: ['tags', V.texts('a'), V.texts('a', 'z')], arrayContainedBy: ['tags', V.texts('a', 'b', 'c'), V.texts('a')],
  arrayOverlaps: ['tags', V.texts('z', 'b'), V.texts('z')], arrayEquals: ['tags', V.texts('a', 'b'), V.texts('b', 'a')],
  arrayNotEquals: ['tags', V.texts('b', 'a'), V.texts('a', 'b')], arrayEmpty: ['none', V.null, 'tags'], arrayNotEmpty: ['tags', V.null, 'none'],
  arrayLength: ['tags', V.int(2), V.int(3)],
  jsonContains: ['doc', V.text('{"k":{"x":1}}'), V.text('{"k":{"x":2}}')], jsonContainedBy: ['doc', V.text('{"k":{"x":1,"y":2},"s":"v"}'), V.text('{"s":"v"}')],
  jsonHasKey: ['doc', V.text('k'), V.text('x')], jsonHasAnyKey: ['doc', V.texts('q', 's'), V.texts('q')], jsonHasAllKeys: ['doc', V.texts('k', 's'), V.texts('k', 'q')],
  jsonGetField: ['doc', V.texts('s', '"v"'), V.texts('s', '"w"')], jsonGetFieldAsText: ['doc', V.texts('s', 'v'), V.texts('s', '"v"')],
  between: ['n', V.ints(1, 5), V.ints(6, 9)], notBetween: ['n', V.ints(6, 9), V.ints(1, 5)],
  rangeContains: ['span', V.int(1), V.int(10)], rangeContainedBy: ['n', V.range(5, 9), V.range(6, 9)],
  inList: ['title', V.texts('x', 'Alpha'), V.texts('x')], notInList: ['title', V.texts('x'), V.texts('Alpha')],
};
const UNFIT = [
  ['regex', 'title', V.text('('), /^regex: title: the pattern is wrong at 1/], ['arrayLength', 'tags', V.text('2'), /^arrayLength: tags: /],
  ['jsonContains', 'doc', V.text('{k:1}'), /^jsonContains: doc: the value is no JSON/], ['jsonHasAnyKey', 'doc', V.ints(1), /^jsonHasAnyKey: doc: /],
  ['jsonGetField', 'doc', V.ints(1, 2), /^jsonGetField: doc: /], ['rangeContains', 'span', V.ints(1, 2, 3), /^rangeContains: span: |^bad_query: /],
];

test('all 35 operators reach SQLite and give the rows they should; what makes no sense names its operator', { timeout: 120000 }, async (t) => {
  const hg = await startHeadgate({ flags: ['--dev'], options: { workers: 1, rpc_timeout: '5s' }, expectErrors: [/kafka/i, /broker/] });
  t.after(() => !hg.isRunning() || hg.stop('SIGINT'));
  const c = await Client.open(hg.url);
  t.after(() => c.terminate());
  c.rawBinary = () => {};
  await waitFor(async () => (await call(c, 'TABLE_EXISTS', {}, { table: 'tasks' })).data === true, { ms: 60000, what: 'the SQL worker' });
  const column = (name, data_type, constraints) => ({ name, data_type, is_nullable: !constraints, constraints: constraints ?? [] });
  const columns = [
    column('id', 'bigSerial', ['primaryKey']), column('title', 'text'), column('n', 'bigInt'), column('nothing', 'text'), column('tags', 'textArray'),
    column('none', 'textArray'), column('doc', 'jsonb'), column('span', 'text'),
  ];
  assert.equal((await call(c, 'CREATE_TABLE', { definition: { name: 'ops', columns } })).data, true);
  const row = { title: 'Alpha', n: 5, tags: ['a', 'b'], none: [], doc: { k: { x: 1, y: 2 }, s: 'v' }, span: '[1,10)' };
  const row2 = { title: 'other', n: 100, nothing: 'x', tags: ['q'], none: ['n'], doc: { o: 1 }, span: '[20,30)' };
  assert.equal((await call(c, 'ADD_SINGLE', { row }, { table: 'ops' })).data?.id, 1);
  assert.equal((await call(c, 'ADD_SINGLE', { row: row2 }, { table: 'ops' })).data?.id, 2);
  const where = (filter_type, field_name, value) => ({ filter_wrapper_type: 'and', filters: [{ field_name, filter_type, value }] });
  const ids = async (...f) => {
    const { error, data } = await call(c, 'GET_DATA', { wrapper: where(...f) }, { table: 'ops' });
    return error ?? data.map((r) => r.id);
  };
  assert.equal(Object.keys(OPERATORS).length, 35);
  for (const [op, [field, yes, no]] of Object.entries(OPERATORS)) {
    const hits = await ids(op, field, yes), misses = typeof no === 'string' ? await ids(op, no, yes) : await ids(op, field, no);
    assert.ok(Array.isArray(hits) && hits.includes(1), `${op} ${field}: ${hits}`);
    assert.ok(Array.isArray(misses) && !misses.includes(1), `${op} the other way: ${misses}`);
  }
  for (const [op, field, value, error] of UNFIT) assert.match(String(await ids(op, field, value)), error);

  // Live: the snapshot of a refused operator fails with the worker's words; a good one is followed by diffs.
  c.send({ op: 'subscribe', table: 'ops', hashId: 'bad', queryJson: JSON.stringify({ wrapper: where('regex', 'title', V.text('(')) }) });
  const failed = await c.message({ op: 'error' });
  assert.equal(failed.code, 'snapshot_failed');
  assert.equal(failed.hashId, 'bad');
  assert.match(failed.message, /^regex: title: the pattern is wrong at 1/);
  await c.subscribe('ops', 'tagged', { queryJson: JSON.stringify({ wrapper: where('arrayContains', 'tags', V.texts('live')) }) });
  assert.deepEqual((await c.message({ op: 'snapshot', hashId: 'tagged' })).rows, []);
  await call(c, 'ADD_SINGLE', { row: { title: 'x', tags: ['dead'] } }, { table: 'ops' });
  await call(c, 'ADD_SINGLE', { row: { title: 'y', tags: ['live'] } }, { table: 'ops' });
  await c.until(() => c.binary >= 1, { what: 'the diff of the row that matches' });
  await call(c, 'UPDATE_SINGLE', { primaryId: 4, updates: { tags: [] } }, { table: 'ops' });
  await c.until(() => c.binary >= 2, { what: 'its removal' });
  assert.equal(c.binary, 2, 'the other row made none');
});
