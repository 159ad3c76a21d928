// headgate-sqlworker as a program of its own on a real Kafka: --mock (spec 13.4), --help, its old environment names.
// Not tested here: which rows each operator gives (tests/tools/sqlops_test.c, sqlquery_test.c), the methods (rpc_methods.test.mjs).
import test from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { Client } from '../support/client.mjs';
import { cleanEnv } from '../support/headgate.mjs';
import { kafkaClient } from '../support/kafka.mjs';
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

test('--help names its options; without a database or --mock it does not start', { timeout: 30000 }, async () => {
  const help = await run([program, '--help'], { env: cleanEnv() });
  assert.equal(help.code, 0);
  for (const option of ['brokers', 'db', 'seed', 'mock', 'solo', 'group', 'topic', 'max-age', 'max-reply']) assert.match(help.stdout, new RegExp(`--${option}\\b`));
  const man = readFileSync(path.join(build, '../../docs/man/headgate-sqlworker.1'), 'utf8');
  for (const [, option] of help.stdout.matchAll(/^ +--([a-z-]+)/gm)) assert.match(man, new RegExp(`Fl -${option}\\b`), `--${option} in the man page`);
  for (const args of [[], ['--mock', '--db', '/nonexistent/x']]) {
    const r = await run([program, ...args], { env: cleanEnv() });
    assert.equal(r.code, 1);
    assert.match(r.stderr, /either --db FILE or --mock/);
  }
});
