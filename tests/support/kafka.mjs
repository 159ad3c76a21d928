// A real Apache Kafka for the tests (tools/setup/kafka.sh), and a kafkajs client made for it.
// sharedKafka() is the one of the whole run (tests/support/run.mjs starts it; a file run alone starts its own);
// tests that stop or kill Kafka start theirs with startKafka().
import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { after } from 'node:test';
import { Kafka, logLevel } from 'kafkajs';
import { freePort } from './ports.mjs';
import { inBackground, root, start, stop, tempDir } from './proc.mjs';
import { waitFor } from './wait.mjs';

process.env.KAFKAJS_NO_PARTITIONER_WARNING = '1';

// At times a client of kafkajs outlives disconnect() (a connection that was being made meanwhile, a timer), and keeps the process of a
// test file whose tests are all done until the broker drops it, ten minutes later.
if (process.argv[1]?.endsWith('.test.mjs')) after(() => { setTimeout(() => process.exit(), 2000).unref(); });

/** A kafkajs client that is patient and silent. */
export const kafkaClient = (brokers, more = {}) => new Kafka({
  clientId: 'headgate-tests', brokers: brokers.split(','), logLevel: logLevel.NOTHING,
  connectionTimeout: 3000, requestTimeout: 30000, retry: { initialRetryTime: 50, maxRetryTime: 1000, retries: 60 }, ...more,
});

/** Starts a broker of one's own: { brokers, stop(), kill(), start() }; stop and kill keep its data and ports. */
export async function startKafka({ background = false } = {}) {
  const dir = tempDir('kafka');
  const port = await freePort(), controller = await freePort();
  const brokers = `127.0.0.1:${port}`;
  let child;
  const kafka = {
    brokers,
    log: path.join(dir, 'out.log'),
    async start() {
      child = start([path.join(root, 'tools/setup/kafka.sh'), 'serve', path.join(dir, 'data'), String(port), String(controller)],
        { file: kafka.log });
      if (background) inBackground(child);
      const admin = kafkaClient(brokers, { retry: { retries: 0 }, connectionTimeout: 500, requestTimeout: 2000 }).admin();
      await waitFor(async () => {
        if (child.exitCode !== null) throw new Error(`Kafka ended with ${child.exitCode}, see ${kafka.log}`);
        try {
          await admin.connect();
          return (await admin.describeCluster()).brokers.length === 1;
        } catch {
          return false;
        }
      }, { ms: 60000, every: 100, what: `Kafka, see ${kafka.log}` });
      await admin.disconnect();
    },
    stop: () => stop(child, 'SIGTERM', 60000),
    kill: () => stop(child, 'SIGKILL'),
  };
  await kafka.start();
  return kafka;
}

let shared;
/** The broker of this test run. */
export function sharedKafka() {
  if (process.env.HEADGATE_TEST_KAFKA) return Promise.resolve({ brokers: process.env.HEADGATE_TEST_KAFKA });
  shared ??= startKafka({ background: true });
  return shared;
}

/** Makes topics before anyone subscribes: { name: partitions }. */
export async function makeTopics(brokers, topics) {
  const admin = kafkaClient(brokers).admin();
  await admin.connect();
  try {
    await admin.createTopics({
      waitForLeaders: false, // it gives up when the broker's metadata lag behind its controller
      topics: Object.entries(topics).map(([topic, numPartitions]) => ({ topic, numPartitions, replicationFactor: 1 })),
    });
    await waitFor(async () => {
      try {
        const found = (await admin.fetchTopicMetadata({ topics: Object.keys(topics) })).topics;
        return found.every((t) => t.partitions.length === topics[t.name] && t.partitions.every((p) => p.leader >= 0));
      } catch {
        return false;
      }
    }, { what: 'the topics to have leaders' });
  } finally {
    await admin.disconnect();
  }
}

/** Names of topics of one test's own, made: { diffs, rows, requests, control, seed, bare, headgate: options of headgate that name
 *  them, but for bare }. */
export async function ownTopics(brokers, { partitions = 4, rowPartitions = 1 } = {}) {
  const tag = randomBytes(4).toString('hex');
  const t = { tag, diffs: `diffs.${tag}`, rows: `rows.${tag}`, requests: `requests.${tag}`, control: `control.${tag}`, seed: `seed.${tag}`, bare: `bare.${tag}`, envelopes: `envelopes.${tag}` };
  await makeTopics(brokers, { [t.diffs]: partitions, [t.rows]: rowPartitions, [t.requests]: 1, [t.control]: 1, [t.seed]: 1, [t.bare]: 2, [t.envelopes]: 1 });
  t.headgate = {
    kafka_brokers: brokers,
    kafka_topics: `${t.diffs}:diff,${t.rows}:row`,
    sql_rpc_request_topic: t.requests,
    query_control_topic: t.control,
    page_seed_topic: t.seed,
  };
  return t;
}

/** Every record of the topics, from their beginning on, as it comes: [{ topic, partition, offset, key, value, headers }]. */
export async function collect(t, brokers, topics) {
  const records = [];
  const consumer = kafkaClient(brokers).consumer({ groupId: `collect-${randomBytes(4).toString('hex')}`, maxWaitTimeInMs: 100 });
  t.after(() => consumer.disconnect());
  await consumer.connect();
  await consumer.subscribe({ topics, fromBeginning: true });
  await consumer.run({
    eachMessage: async ({ topic, partition, message }) => {
      records.push({ topic, partition, offset: message.offset, key: message.key?.toString(), value: message.value, headers: message.headers });
    },
  });
  return records;
}
