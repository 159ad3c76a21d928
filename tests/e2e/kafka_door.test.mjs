// The unit test of the Kafka door once more, on a real broker: transaction markers at the end of a log, topics deleted, grown
// and made anew, trimmed logs, own reply topics made and deleted, a record of 20 MB. The mock cluster knows none of these.
import test from 'node:test';
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { sharedKafka } from '../support/kafka.mjs';
import { build, root, run } from '../support/proc.mjs';

// The release build has no unit tests; "make test" has built build/debug before it comes here.
const program = [build, path.join(root, 'build/debug')].map((dir) => path.join(dir, 'tests/worker_kafka_test')).find(existsSync);

test('worker/kafka_test passes on a real broker, with nothing skipped', { timeout: 300000 }, async () => {
  assert.ok(program, 'no build with unit tests: make -f Makefile.ci debug');
  const kafka = await sharedKafka();
  const { code, stdout, stderr } = await run([program], {
    env: { ...process.env, HG_TEST_KAFKA: kafka.brokers }, ms: 280000,
  });
  const text = `${stdout}\n${stderr}`;
  assert.equal(code, 0, text.slice(-3000));
  assert.doesNotMatch(text, /SKIPPED/);
});
