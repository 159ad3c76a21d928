// Partitions added while the gateway runs are read from their first record, by whichever worker has their share.
// Not tested here: topics made, deleted and made anew (kafka_faults).
import test from 'node:test';
import { openClients } from '../support/client.mjs';
import { lsnHeader } from '../support/database.mjs';
import { stage } from '../support/stage.mjs';
import { waitFor } from '../support/wait.mjs';

test('B-19: partitions added while it runs are read from their start', { timeout: 60000 }, async (t) => {
  const s = await stage(t, { partitions: 1, options: { workers: 2, kafka_metadata_interval: '200ms' } });
  const clients = s.keep(await openClients(4, s.hg.url));
  for (const c of clients) await c.subscribe('t', 'h');
  const admin = s.db.kafka.admin(), producer = s.db.kafka.producer(); // a new producer: kafkajs remembers partitions for long
  t.after(() => Promise.all([admin.disconnect(), producer.disconnect()]));
  await admin.connect();
  await admin.createPartitions({ topicPartitions: [{ topic: s.topics.diffs, count: 5 }] });
  await producer.connect();
  for (const partition of [1, 2, 3, 4]) {
    const lsn = 9000n + BigInt(partition);
    const value = JSON.stringify({ stream: 'demo_t|h', lsn: String(lsn) });
    await producer.send({ topic: s.topics.diffs, messages: [{ key: 'demo_t|h', value, partition, headers: { lsn: lsnHeader(lsn) } }] });
    await waitFor(() => clients.every((c) => c.sub('h').diffs.at(-1)?.lsn === lsn), { what: `the first record of partition ${partition}` });
  }
});
