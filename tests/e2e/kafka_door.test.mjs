// The unit test of the Kafka door once more, on a real broker: transaction markers at the end of a log, topics deleted, grown
// and made anew, trimmed logs, own reply topics made and deleted, a record of 20 MB. The mock cluster knows none of these.
import test from 'node:test';
import assert from 'node:assert/strict';
import path from 'node:path';
import { sharedKafka } from '../support/kafka.mjs';
import { build, run } from '../support/proc.mjs';

test('worker/kafka_test passes on a real broker, with nothing skipped', { timeout: 300000 }, async () => {
  const kafka = await sharedKafka();
  const { code, stdout, stderr } = await run([path.join(build, 'tests/worker_kafka_test')], {
    env: { ...process.env, HG_TEST_KAFKA: kafka.brokers }, ms: 280000,
  });
  const text = `${stdout}\n${stderr}`;
  assert.equal(code, 0, text.slice(-3000));
  assert.doesNotMatch(text, /SKIPPED/);
});
