// The two companions at the ends of the wires (spec 13.4): what headgate-produce sends arrives at clients, in order and with its
// LSN in either encoding, and it says when a record was not delivered; what headgate-tap prints of replies, requests, live queries,
// seeds, diffs and row events is what kafkajs and the official FlatBuffers library read of them.
// Not tested here: how fast they are.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { Partitioners } from 'kafkajs';
import { Client } from '../support/client.mjs';
import { lsnHeader } from '../support/database.mjs';
import { readControl, readGetData } from '../support/fbquery.mjs';
import { collect, kafkaClient, makeTopics, ownTopics, sharedKafka, startKafka } from '../support/kafka.mjs';
import { freePort } from '../support/ports.mjs';
import { build, inBackground, isRunning, root, run, start, stop, tempDir } from '../support/proc.mjs';
import { encodeReply } from '../support/sqlwire.mjs';
import { stage } from '../support/stage.mjs';
import { waitFor } from '../support/wait.mjs';

const tool = (name) => path.join(build, 'tools', `headgate-${name}`);

async function produce(brokers, args, { input, code = 0 } = {}) {
  const r = await run([tool('produce'), '--brokers', brokers, ...args], { input });
  assert.equal(r.code, code, `${args.join(' ')}\n${r.stderr}`);
  return r.stderr;
}

/** A tool that runs: what it says goes to a file; killed with the test, whatever happens to it. */
function running(t, name, brokers, args, env = {}) {
  const file = path.join(tempDir(name), 'out');
  const child = start([tool(name), '--brokers', brokers, ...args], { file, env: { ...process.env, ...env } });
  inBackground(child);
  t.after(() => isRunning(child) && stop(child));
  const text = () => readFileSync(file, 'utf8');
  return {
    child, text,
    says: (words, options) => waitFor(() => words.test(text()), { what: () => `${words} in: ${text().slice(-2000)}`, ...options }),
    objects: () => text().split('\n').filter((l) => l.startsWith('{') && l.endsWith('}')).map((l) => JSON.parse(l)),
    end: async (signal) => {
      for (const handle of [child, child.stdout, child.stderr]) handle.ref();
      return signal ? stop(child, signal) : child.done;
    },
    isRunning: () => isRunning(child),
  };
}

/** A tap that has settled where it begins: what is written from now on is printed. */
async function tap(t, brokers, args, env) {
  const it = running(t, 'tap', brokers, args, env);
  await it.says(/reading \d+ partitions/);
  return it;
}

const kafkaProducer = async (t, brokers) => {
  const producer = kafkaClient(brokers).producer({ createPartitioner: Partitioners.DefaultPartitioner });
  t.after(() => producer.disconnect());
  await producer.connect();
  return producer;
};

// --- produce ---------------------------------------------------------------------------------------------------------

test('diffs of headgate-produce reach a client in order, with the LSN as text and as bytes; --lsn none reaches nobody', { timeout: 90000 }, async (t) => {
  const s = await stage(t, { options: { workers: 2 } });
  const c = s.keep(await Client.open(s.hg.url));
  await c.subscribe('orders', 'q');
  const key = ['--topic', s.topics.diffs, '--table', 'orders', '--hash-id', 'q'];
  const said = await produce(s.kafka.brokers, [...key, '--count', '300', '--lsn', 'binary', '--lsn-start', '5000']);
  assert.match(said, /300 of 300 records delivered to diffs\.\w+ \(librdkafka [\d.]+\)/);
  await produce(s.kafka.brokers, [...key, '--count', '3', '--lsn', 'none']);
  await produce(s.kafka.brokers, [...key, '--count=20', '--lsn=text', '--lsn-start=6000', '--lsn-step=10', '--size=500', '--rate=1000']);
  const sub = c.sub('q');
  await c.until(() => sub.diffs.length >= 320, { what: () => `320 diffs, got ${sub.diffs.length}` });
  await c.ping();
  assert.deepEqual(sub.diffs.map((d) => d.lsn), [...Array.from({ length: 300 }, (_, i) => 5000n + BigInt(i)), ...Array.from({ length: 20 }, (_, i) => 6000n + 10n * BigInt(i))]);
  assert.deepEqual(sub.diffs.slice(0, 300).map((d) => d.data.n), Array.from({ length: 300 }, (_, i) => i));
  assert.ok(sub.diffs.slice(300).every((d) => JSON.stringify(d.data).length >= 500 && d.data.stream === 'demo_orders|q'));
});

test('a value from the command line, a file, each line of standard input; a key given or made; the default LSN rises from run to run', { timeout: 60000 }, async (t) => {
  const { brokers } = await sharedKafka();
  const topics = await ownTopics(brokers, { partitions: 8 });
  const records = await collect(t, brokers, [topics.diffs]);
  const file = path.join(tempDir('produce'), 'value'), bytes = Buffer.from([0, 1, 255, 10, 13]);
  writeFileSync(file, bytes);
  const at = ['--topic', topics.diffs];
  await produce(brokers, [...at, '--key', 'a', '--value', 'hello', '--count', '2']);
  await produce(brokers, [...at, '--key', 'a', '--file', file]);
  await produce(brokers, [...at, '--tenant', 'acme', '--table', 't', '--hash-id', 'h|x', '--lines'], { input: 'one\n\ntwo\u20ac\nlast' });
  await produce(brokers, [...at, '--key', 'a', '--lines', '--count', '2', '--lsn', 'binary', '--lsn-start', '18446744073709551614'], { input: '1\n2\n3\n' });
  assert.match(await produce(brokers, [...at, '--key', 'b', '--count', '3', '--lsn-start', '18446744073709551615'], { code: 1 }), /there is no LSN above 18446744073709551615\n.*1 of 1 records delivered/);
  const producer = await kafkaProducer(t, brokers);
  await producer.send({ topic: topics.diffs, messages: ['a', 'acme_t|h|x'].map((key) => ({ key, value: 'of kafkajs' })) });
  await waitFor(() => records.length === 12, { what: () => `12 records, got ${records.length}` });
  const of = (key) => records.filter((r) => r.key === key);
  assert.deepEqual(of('a').map((r) => r.value.toString('latin1')), ['hello', 'hello', bytes.toString('latin1'), '1', '2', 'of kafkajs']);
  assert.deepEqual(of('acme_t|h|x').map((r) => r.value.toString()), ['one', '', 'two\u20ac', 'last', 'of kafkajs']);
  assert.equal(new Set(records.map((r) => `${r.key} ${r.partition}`)).size, 3, 'one partition a key, the one of other producers');
  const lsns = of('a').slice(0, 3).map((r) => BigInt(r.headers.lsn.toString()));
  assert.ok(lsns.every((lsn, i) => i === 0 || lsn > lsns[i - 1]), `${lsns}`);
  assert.deepEqual(of('a').slice(3, 5).map((r) => r.headers.lsn), [lsnHeader(18446744073709551614n, 'binary'), lsnHeader(18446744073709551615n, 'binary')]);
});

test('row events and envelopes of headgate-produce reach clients; what no gateway would take is not sent', { timeout: 60000 }, async (t) => {
  const { brokers } = await sharedKafka();
  const topic = `envelopes.${process.pid}.${Date.now()}`;
  await makeTopics(brokers, { [topic]: 1 });
  const s = await stage(t, { options: ({ headgate }) => ({ workers: 1, kafka_topics: `${headgate.kafka_topics},${topic}:envelope` }) });
  const c = s.keep(await Client.open(s.hg.url));
  await c.subscribe('orders', 'q');
  c.send({ op: 'join', room: 'lobby' });
  await c.message({ op: 'joined' });
  c.send({ type: 'subscribe', channel: 'files' });
  await c.message({ status: 'subscribed' });

  await produce(brokers, ['--topic', s.topics.rows, '--table', 'orders', '--hash-id', 'q', '--count', '3', '--lsn-start', '77']);
  await c.until(() => c.sub('q').events.length === 3, { what: 'three row events' });
  assert.deepEqual(c.sub('q').events.map((e) => [e.version, e.event.pk, e.event.kind, e.event.routingKey]), [0, 1, 2].map((i) => [77 + i, String(i), 'modified', 'demo_orders|q']));

  await produce(brokers, ['--topic', topic, '--room', 'lobby', '--value', 'hello \u20ac']);
  await c.message({ text: 'hello \u20ac' });
  await produce(brokers, ['--topic', topic, '--channel', 'files', '--value', '{"file":"a","event":"add"}']);
  await c.message((m) => m.type === 'event' && m.channel === 'files' && m.data.file === 'a');
  await produce(brokers, ['--topic', topic, '--lines'], { input: '{"room":"lobby","text":"from a line"}\n[{"all":true,"text":"to all"},{"room":"nobody","text":"x"}]\n' });
  await c.message({ text: 'to all' });
  assert.ok(c.messages.some((m) => m.text === 'from a line'));

  const refuse = async (args, words, options) => assert.match(await produce(brokers, args, { code: 1, ...options }), words);
  await refuse(['--topic', topic, '--value', '{"room":"r"}'], /record 0 is not sent: not an envelope: .*text/);
  await refuse(['--topic', topic, '--channel', 'files', '--value', 'no object'], /data of a channel is a JSON object/);
  await refuse(['--topic', s.topics.rows, '--key', 'demo_orders|q', '--lines'], /record 1 is not sent: not a row event/, { input: '{"routingKey":"demo_orders|q"}\n{"key":1}\n' });
});

test('as the former test producer: hello with key1 to test_topic is delivered, and librdkafka\'s version is printed', { timeout: 30000 }, async (t) => {
  const { brokers } = await sharedKafka();
  const topic = `test_topic.${process.pid}.${Date.now()}`;
  await makeTopics(brokers, { [topic]: 1 });
  const records = await collect(t, brokers, [topic]);
  assert.match(await produce(brokers, ['--topic', topic, '--key', 'key1', '--value', 'hello']), /1 of 1 records delivered to test_topic\.\S+ \(librdkafka \d+\.\d+\.\d+\)/);
  await waitFor(() => records.length === 1, { what: 'the record' });
  assert.deepEqual([records[0].key, records[0].value.toString()], ['key1', 'hello']);
});

test('--help names each option and each environment variable, and so does the man page', async () => {
  for (const name of ['tap', 'produce']) {
    const help = await run([tool(name), '--help']);
    assert.equal(help.code, 0);
    const options = [...help.stdout.matchAll(/^ +--([a-z-]+)/gm)].map(([, option]) => option);
    assert.ok(options.includes('brokers') && options.includes('count') && options.includes('version'));
    const man = readFileSync(path.join(root, `docs/man/headgate-${name}.1`), 'utf8');
    for (const option of options) assert.match(man, new RegExp(`Fl -${option}\\b`), `--${option} in the man page`);
    const inMan = [...man.matchAll(/^\.Ev (\w+)/gm)].map(([, v]) => v), inHelp = help.stdout.match(/\b[A-Z]+(_[A-Z]+)+\b/g);
    assert.deepEqual([...new Set(inHelp)].sort(), [...new Set(inMan)].sort());
  }
});

test('a record that was not delivered makes headgate-produce fail; bad options are named with the nearest right one', { timeout: 60000 }, async () => {
  const { brokers } = await sharedKafka();
  const small = `small.${process.pid}.${Date.now()}`, key = ['--topic', small, '--key', 'k'];
  const admin = kafkaClient(brokers).admin();
  await admin.connect();
  await admin.createTopics({ topics: [{ topic: small, numPartitions: 1, replicationFactor: 1, configEntries: [{ name: 'max.message.bytes', value: '1000' }] }] });
  await admin.disconnect();
  const failed = await produce(brokers, [...key, '--size', '3000', '--count', '2'], { code: 1 });
  assert.match(failed, /0 of 2 records delivered[\s\S]*2 failed, the first: .*too large/i);
  assert.match(await produce('127.0.0.1:1', [...key, '--timeout', '1'], { code: 1 }), /waiting for a Kafka broker\n.*no Kafka broker answers/);
  for (const [args, words] of [
    [['--tabel', 't'], /--tabel: unknown option; the nearest is --table/], [[...key, '--lsn', 'binari'], /--lsn: unknown "binari"; the nearest is "binary"/],
    [[...key, '--kind', 'rows'], /--kind: unknown "rows"; the nearest is "row"/], [[...key, '--count', '-1'], /--count: out of range/], [[...key, '--rate', 'x'], /--rate: not a number/], [[...key, '--rate', '1e-9'], /--rate: less than/], [[...key, '--lsn-start', '-1'], /--lsn-start: /],
    [['--table', 'a|b', '--hash-id', 'c'], /--table: '\|' is not allowed/], [['--table', 't'], /--hash-id: empty/], [[...key, '--value', 'a', '--lines'], /--value: one of/],
    [[...key, '--room', 'r'], /--room: is for envelopes/], [['--kind', 'envelope'], /for whom/], [[], /--key: say it/], [['--kind', 'envelope', '--room', 'a', '--all'], /--all: one of/],
  ]) assert.match(await produce(brokers, args, { code: 2 }), words);
});

// --- tap -------------------------------------------------------------------------------------------------------------

test('what headgate-tap prints of a real call, its query, snapshot, seed, diffs and row events is what is there', { timeout: 120000 }, async (t) => {
  const { brokers } = await sharedKafka();
  const replies = `replies-${Date.now()}`;
  // Before the gateway, whose reply topic is made when it starts.
  let reply;
  const s = await stage(t, { sql: { nameLsn: true }, options: (topics) => ({ workers: 1, sql_rpc_reply_topic: reply = `${replies}.${topics.tag}` }) });
  const list = [`${replies}*`, s.topics.requests, s.topics.control, s.topics.seed, `${s.topics.diffs}:diff`, s.topics.rows];
  const seen = running(t, 'tap', brokers, ['--json', '--full', '--from', 'start', '--topics', list.join()]);
  const records = await collect(t, brokers, [s.topics.requests, s.topics.control, s.topics.seed, s.topics.diffs, s.topics.rows, reply]);
  const c = s.keep(await Client.open(s.hg.url));
  const queryJson = JSON.stringify({ hash: 'h\u00e9', limit: 7, wrapper: { filter_wrapper_type: 'or', filters: [
    { field_name: 'n', filter_type: 'between', value: { Int64List: { values: ['9007199254740993', 2] } } },
    { field_name: 's', filter_type: 'jsonHasKey', value: { StringValue: { value: 'a"b' } }, modifier: { distinct: true } }] } });
  s.db.commit('orders', 'q', '1', { n: 1 });
  await s.db.flush();
  await c.subscribe('orders', 'q', { queryJson });
  c.send({ op: 'rpc', method: 'UPDATE_SINGLE', table: 'orders', correlationId: 'x', payload: { primaryId: '1', updates: { n: 2 } } });
  assert.equal((await c.message({ op: 'rpcResult' })).ok, true);
  c.send({ op: 'rpc', method: 'DELETE_ROW', table: 'orders', payload: { primaryId: '1' } });
  await c.message((m) => m.op === 'rpcResult' && m.method === 'DELETE_ROW');
  for (let n = 0; n < 4; n++) s.db.commit('orders', 'q', '1', { n }); // LSNs as text and as bytes by turns
  await s.db.flush();
  const producer = await kafkaProducer(t, brokers);
  const garbage = Buffer.from('no FlatBuffers at all, but long enough');
  await producer.send({ topic: s.topics.diffs, messages: [
    { key: 'demo_x|1', value: Buffer.from([0xff, 0xfe, 0]), headers: { LSN: '0x10' } }, { key: 'demo_x|1', value: 'text', headers: { __lsn: lsnHeader(18446744073709551615n, 'binary') } },
    { key: 'demo_x|1', value: null, headers: { lsn: 'no' } }, { value: 'no key' }] });
  await producer.send({ topic: s.topics.rows, messages: [{ key: 'k', value: '{"routingKey":"demo_o|h","pk":"1"}', headers: { lsn: '5' } }, { key: 'k', value: '{}' }] });
  await producer.send({ topic: reply, messages: [
    { key: 'late', value: encodeReply({ correlationId: 'late', ok: false, errorCode: 1, errorMessage: 'no such table: \u20ac' }) }, { key: 'bad', value: garbage }] });
  await producer.send({ topic: s.topics.control, messages: [{ key: 'demo_orders|q', value: null }, { key: 'bad', value: garbage }] });
  const bad = () => records.filter((r) => r.key === 'bad').length;
  await waitFor(() => bad() === 2 && records.length >= 23 && seen.objects().length === records.length, { ms: 20000, what: () => `all records: the tap has ${seen.objects().length}, kafkajs ${records.length}` });
  assert.deepEqual(await seen.end('SIGINT'), { code: 0, signal: null });

  const place = (r) => `${r.topic} ${r.partition} ${r.offset}`;
  const printed = new Map(seen.objects().map((o) => [place(o), o]));
  assert.equal(printed.size, records.length, 'each once');
  for (const r of records) {
    const o = printed.get(place(r));
    assert.ok(o, `${place(r)} is printed`);
    assert.equal(o.key, r.key);
    assert.equal(o.bytes, r.value?.length ?? 0);
    assert.match(o.time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    assert.ok(Math.abs(Date.parse(o.time) - Date.now()) < 600000);
    if (r.value === null) assert.equal(o.tombstone, true);
  }
  const of = (topic, key) => records.filter((r) => r.topic === topic && (key === undefined || r.key === key)).map((r) => [printed.get(place(r)), r]);

  // diffs
  for (const [o, r] of of(s.topics.diffs, 'demo_orders|q')) {
    const binary = r.headers.lsn.length === 8 && !/^\d+$/.test(r.headers.lsn.toString('latin1'));
    assert.deepEqual([o.kind, o.lsn, o.lsnAs], ['diff', JSON.parse(r.value).lsn, binary ? 'binary' : 'text']);
    assert.deepEqual(o.value, JSON.parse(r.value));
  }
  assert.ok(of(s.topics.diffs, 'demo_orders|q').some(([o]) => o.lsnAs === 'binary') && of(s.topics.diffs, 'demo_orders|q').some(([o]) => o.lsnAs === 'text'));
  const odd = of(s.topics.diffs, 'demo_x|1').map(([o]) => o);
  assert.deepEqual(odd.map((o) => [o.lsn, o.lsnAs, o.value, o.valueB64]), [['16', 'text', undefined, '//4A'], ['18446744073709551615', 'binary', 'text', undefined], [undefined, undefined, undefined, undefined]]);
  assert.ok(odd[2].lsnError && odd[2].tombstone);
  assert.equal(of(s.topics.diffs, undefined).filter(([o]) => o.value === 'no key').length, 1);

  // row events
  const rows = of(s.topics.rows).map(([o]) => o);
  assert.deepEqual([rows[0].routingKey, rows[0].hashId, rows[0].lsn, rows[0].event.pk], ['demo_o|h', 'h', '5', '1']);
  assert.match(rows[1].error, /not a row event/);

  // requests and replies, by correlation id
  const requests = of(s.topics.requests).map(([o]) => o);
  const get = requests.find((o) => o.method === 'GET_DATA'), [, rawGet] = of(s.topics.requests).find(([o]) => o === get);
  const call = readGetData(rawGet.value);
  assert.deepEqual([get.corr, get.replyTopic, get.companyId, get.table, get.query.limit], [call.correlationId, reply, 'demo', 'orders', 7]);
  const wanted = JSON.parse(queryJson).wrapper;
  wanted.filters[0].value.Int64List.values[1] = '2';
  Object.assign(wanted.filters[1].modifier, { nulls_order: 'default', case_insensitive: false });
  assert.deepEqual(get.query.wrapper, wanted);
  const update = requests.find((o) => o.method === 'UPDATE_SINGLE');
  assert.deepEqual([update.primaryKeyColumn, update.primaryId, update.updates], ['id', '1', { n: 2 }]);
  assert.ok(requests.some((o) => o.method === 'DELETE_ROW' && o.primaryId === '1'));
  const answers = new Map(of(reply).map(([o]) => [o.key, o]));
  const rowsReply = answers.get(get.corr);
  assert.deepEqual([rowsReply.corr, rowsReply.ok, rowsReply.errorCode, rowsReply.dataType, rowsReply.rows], [get.corr, true, 'NONE', 'RowsJson', 1]);
  assert.equal(rowsReply.data[0].n, 1);
  assert.match(rowsReply.snapshotLsn, /^\d+$/);
  assert.deepEqual([answers.get(update.corr).dataType, answers.get(update.corr).data], ['BoolRes', true]);
  assert.deepEqual([answers.get('late').ok, answers.get('late').errorCode, answers.get('late').errorMessage, answers.get('late').dataType], [false, 'BAD_REQUEST', 'no such table: \u20ac', 'none']);
  assert.match(answers.get('bad').error, /not a ResponseEnvelope/);

  // live queries
  const control = of(s.topics.control);
  const [query, raw] = control.find(([o]) => o.query);
  const q = readControl(raw.value);
  assert.deepEqual([query.query.hash, query.query.limit, query.query.schema_version], [q.hash, q.limit, q.version]);
  assert.deepEqual(query.query.wrapper, wanted);
  assert.ok(control.some(([o]) => o.tombstone));
  assert.match(control.find(([o]) => o.key === 'bad')[0].error, /not a StreamingSqlDataFilter/);

  // page seeds
  const [[seed, rawSeed]] = of(s.topics.seed);
  const page = JSON.parse(rawSeed.value);
  assert.deepEqual([seed.companyId, seed.table, seed.hashId, seed.cursor, seed.rows, seed.data], ['demo', 'orders', 'q', page.cursor, 1, page.rows]);
});

test('headgate-tap: one line or one field a line, cut unless --full; from the end, an offset, by count; topics made later; a group shares', { timeout: 90000 }, async (t) => {
  const { brokers } = await sharedKafka();
  const { tag } = await ownTopics(brokers);
  const topic = `tapped.${tag}`, later = `tapped.${tag}.later`;
  await makeTopics(brokers, { [topic]: 1 });
  const say = (value, to = topic, ...more) => produce(brokers, ['--topic', to, '--key', 'a b', '--kind', 'diff', '--value', value, '--lsn-start', '42', ...more]);
  for (let i = 0; i < 10; i++) await say(`v${i}`);
  await say('x'.repeat(300));
  const once = async (...args) => (await run([tool('tap'), '--brokers', brokers, '--topics', topic, ...args])).stdout;
  assert.match(await once('--from', 'start', '--count', '1'), new RegExp(`^topic=tapped\\.${tag} partition=0 offset=0 key="a b" time=\\S+Z kind=diff lsn=42 lsnAs=text bytes=2 value=v0\\n$`));
  assert.deepEqual((await once('--from', '7', '--count', '2', '--json')).trim().split('\n').map((l) => JSON.parse(l).offset), [7, 8]);
  const indented = (await once('--from', '9', '--count', '1', '--indent')).split('\n');
  assert.equal(indented[0], `topic tapped.${tag}`);
  assert.ok(indented.some((l) => /^ {2}value +v9$/.test(l)), indented.join('\n'));
  assert.match(await once('--from', '10', '--count', '1'), /value=x{200}\.\.\.\(100 more\)/);
  assert.match(await once('--from', '10', '--count', '1', '--full'), /value=x{300}\n/);
  for (const [args, words] of [
    [['--topics', `${topic}:dif`], /--topics: unknown "dif"; the nearest is "diff"/], [['--topcis', topic], /the nearest is --topics/], [['--topics', 'a,,b'], /--topics: an empty name/],
    [['--topics', '^a.*b'], /--topics: a name has/], [['--from', 'strat'], /--from: unknown "strat"; the nearest is "start"/], [['--from', '-3'], /--from: /], [['--count', '1x'], /--count: not a number/],
    [['--json', '--indent'], /--indent: not together/], [['--group', 'g', '--from', '5'], /--from: a group/], [['--json=1'], /takes no value/], [['here'], /not an option/],
  ]) {
    const r = await run([tool('tap'), '--brokers', brokers, ...args]);
    assert.equal(r.code, 2, args.join(' '));
    assert.match(r.stderr, words);
  }

  // From the end, and topics made later from their beginning.
  const live = await tap(t, brokers, ['--topics', `tapped.${tag}*`, '--json']);
  await say('new');
  await waitFor(() => live.objects().length > 0, { what: 'a record of after its start' });
  assert.deepEqual(live.objects().map((o) => o.value), ['new']);
  await makeTopics(brokers, { [later]: 2 });
  await say('first', later);
  await waitFor(() => live.objects().some((o) => o.topic === later && o.value === 'first'), { what: 'the first record of a topic made later' });
  assert.deepEqual(await live.end('SIGTERM'), { code: 0, signal: null });

  // The group of SQL_RPC_TAP_GROUP: two of it print each record once.
  const env = { SQL_RPC_TAP_GROUP: `taps-${tag}` }, args = ['--topics', later, '--from', 'start', '--json'];
  const two = [running(t, 'tap', brokers, args, env), running(t, 'tap', brokers, args, env)];
  await produce(brokers, ['--topic', later, '--key', 'one', '--count', '20']);
  await produce(brokers, ['--topic', later, '--key', 'four', '--count', '20']);
  const all = () => two.flatMap((x) => x.objects());
  await waitFor(() => all().length >= 41, { ms: 30000, what: () => `41 records, got ${all().length}` });
  for (const x of two) await x.end('SIGTERM');
  assert.equal(new Set(all().map((o) => `${o.partition} ${o.offset}`)).size, 41);
});

test('garbage, cut and huge records of every kind are reported with topic, partition and offset, and the tap goes on', { timeout: 60000 }, async (t) => {
  const { brokers } = await sharedKafka();
  const tag = `${process.pid}.${Date.now()}`, kinds = ['reply', 'request', 'control', 'seed', 'row', 'envelope', 'diff'];
  const topics = Object.fromEntries(kinds.map((k) => [k, `odd.${tag}.${k}`]));
  await makeTopics(brokers, Object.fromEntries(Object.values(topics).map((topic) => [topic, 2])));
  const it = await tap(t, brokers, ['--json', '--topics', kinds.map((k) => `${topics[k]}:${k}`).join()]);
  const good = encodeReply({ correlationId: 'c', ok: true, rows: ['{"a":1}', '{"a":2}'] });
  let x = 1;
  const noise = (n) => Buffer.from(Array.from({ length: n }, () => (x = (x * 1103515245 + 12345) >>> 1) & 0xff));
  const values = [Buffer.alloc(0), Buffer.from([0]), Buffer.alloc(64), Buffer.alloc(64, 0xff), noise(8), noise(300), noise(2000000), Buffer.from('['.repeat(5000)), Buffer.from('{"rows":1,"\\ud800":null}'),
    Buffer.from('\u001b[31m\u009b31m\u007f'), ...Array.from({ length: good.length - 1 }, (_, i) => good.subarray(0, i + 1))];
  const producer = await kafkaProducer(t, brokers);
  for (const k of kinds) await producer.send({ topic: topics[k], messages: [...values.map((value, i) => ({ key: noise(4), value, partition: i % 2, headers: { lsn: value } })), { key: 'last', value: 'last', partition: 0 }] });
  const ofKind = (k) => it.objects().filter((o) => o.kind === k);
  await waitFor(() => kinds.every((k) => ofKind(k).length === values.length + 1), { ms: 30000, every: 500, what: () => kinds.map((k) => `${k} ${ofKind(k).length} of ${values.length + 1}`).join() });
  assert.ok(it.isRunning());
  assert.ok(!/[\u001b\u007f-\u009f]/.test(it.text()), 'nothing a terminal would obey');
  for (const k of kinds) {
    const all = ofKind(k);
    assert.equal(new Set(all.map((o) => `${o.partition} ${o.offset}`)).size, values.length + 1);
    assert.ok(all.every((o) => o.topic === topics[k] && [0, 1].includes(o.partition) && Number.isInteger(o.offset)));
    if (k !== 'diff') assert.deepEqual(all.filter((o) => o.error === undefined && !(k === 'reply' && o.bytes > good.length - 4)).map((o) => o.bytes), [], `${k}: each is called an error, but for a reply that lacks padding only`);
  }
  assert.equal(ofKind('diff').filter((o) => o.error).length, 0, 'a diff is never decoded');
  assert.deepEqual(await it.end('SIGTERM'), { code: 0, signal: null });
});

test('--rate is a schedule: no record before its time, and what was held up is caught up with', { timeout: 60000 }, async (t) => {
  const { brokers } = await sharedKafka();
  const topics = await ownTopics(brokers, { partitions: 1 });
  const seen = await tap(t, brokers, ['--json', '--topics', topics.diffs]);
  const perSecond = 20, count = 60, began = Date.now();
  const p = running(t, 'produce', brokers, ['--topic', topics.diffs, '--key', 'k', '--count', String(count), '--rate', String(perSecond)]);
  await waitFor(() => seen.objects().length >= count / 3, { what: 'the first records' });
  process.kill(p.child.pid, 'SIGSTOP');
  const held = seen.objects().length;
  await waitFor(() => Date.now() > began + 1000 * count / perSecond + 500, { what: 'the end of the schedule' });
  process.kill(p.child.pid, 'SIGCONT');
  assert.deepEqual(await p.end(), { code: 0, signal: null });
  await waitFor(() => seen.objects().length === count, { what: 'all records' });
  const times = seen.objects().map((o) => Date.parse(o.time));
  times.forEach((time, n) => assert.ok(time - began >= 1000 * n / perSecond, `record ${n} after ${time - began} ms`));
  const late = times.slice(held + 2); // one may have been on its way, one waited for
  if (late.length > count / 2) assert.ok(late.at(-1) - late[0] < 1000 * late.length / perSecond / 2, `${late.length} records took ${late.at(-1) - late[0]} ms`);
});

test('both end cleanly on INT and TERM, with a broker and without; a missing one is told, one that comes is used', { timeout: 120000 }, async (t) => {
  const clean = { code: 0, signal: null };
  const { brokers } = await sharedKafka();
  const topics = await ownTopics(brokers, { partitions: 1 });
  for (const signal of ['SIGINT', 'SIGTERM']) {
    const seen = await tap(t, brokers, ['--json', '--topics', topics.diffs]);
    const endless = running(t, 'produce', brokers, ['--topic', topics.diffs, '--key', 'k', '--count', '0', '--rate', '500']);
    await waitFor(() => seen.objects().length > 20, { what: 'records' });
    assert.deepEqual(await endless.end(signal), clean);
    const [, delivered, sent] = /(\d+) of (\d+) records delivered/.exec(endless.text());
    assert.equal(delivered, sent);
    await waitFor(() => seen.objects().length === Number(sent), { what: () => `${sent} records, got ${seen.objects().length}` });
    assert.deepEqual(await seen.end(signal), clean);
    const cut = running(t, 'produce', brokers, ['--topic', topics.diffs, '--key', 'k', '--count', '1000', '--rate', '1']);
    await waitFor(() => cut.isRunning(), { what: 'its start' });
    const later = await tap(t, brokers, ['--json', '--topics', topics.diffs, '--from', 'start', '--count', String(1 + Number(sent))]);
    assert.deepEqual(await later.end(), clean); // the first of the thousand was there
    assert.equal((await cut.end(signal)).code, 1, 'not all that was asked for');
  }
  // Nobody there.
  const port = await freePort(), nowhere = `127.0.0.1:${port}`;
  for (const [name, args, code] of [['tap', ['--topics', 't'], 0], ['produce', ['--topic', 't', '--key', 'k'], 1]]) {
    const it = running(t, name, nowhere, args);
    await it.says(/waiting for a Kafka broker/);
    assert.equal((await it.end('SIGINT')).code, code);
    assert.equal(it.text().match(/waiting for a Kafka broker/g).length, 1, 'said once');
  }
  const grouped = running(t, 'tap', nowhere, ['--topics', 't', '--group', 'g']);
  await grouped.says(/Kafka went away|waiting for a Kafka broker/);
  assert.deepEqual(await grouped.end('SIGTERM'), clean);
  // A broker that goes and comes back.
  const kafka = await startKafka();
  t.after(() => kafka.stop().catch(() => {}));
  await makeTopics(kafka.brokers, { back: 1 });
  const patient = await tap(t, kafka.brokers, ['--json', '--topics', 'back']);
  await kafka.stop();
  await patient.says(/Kafka went away/);
  await kafka.start();
  await produce(kafka.brokers, ['--topic', 'back', '--key', 'k', '--value', 'again']);
  await waitFor(() => patient.objects().some((o) => o.value === 'again'), { ms: 30000, what: () => `the record: ${patient.text()}` });
  assert.deepEqual(await patient.end('SIGTERM'), clean);
});
