// What stands in a topic of few records: a reader that keeps them all, in the order of each partition.
//   const control = await tail(t, s.kafka, s.topics.control);   from the beginning; ended after the test
//   control.records   [{ key, value: Buffer or null, partition, offset }]
//   control.of(key)   those with that key
import { randomBytes } from 'node:crypto';
import { kafkaClient } from './kafka.mjs';

export async function tail(t, kafka, topic) {
  const consumer = kafkaClient(kafka.brokers).consumer({ groupId: `tail-${topic}-${randomBytes(3).toString('hex')}`, maxWaitTimeInMs: 50 });
  const records = [];
  t.after(() => consumer.disconnect());
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  await consumer.run({
    eachMessage: async ({ message, partition }) => {
      records.push({ key: message.key?.toString(), value: message.value, partition, offset: Number(message.offset), at: Date.now() });
    },
  });
  return { records, of: (key) => records.filter((r) => r.key === key) };
}
