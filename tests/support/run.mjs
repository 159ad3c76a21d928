// Runs end-to-end test files one after the other on one Kafka and one Redis, and ends with the runner's closing lines.
//   node tests/support/run.mjs FILE...
import { spawn } from 'node:child_process';
import path from 'node:path';
import { sharedKafka } from './kafka.mjs';
import { root } from './proc.mjs';
import { sharedRedis } from './redis.mjs';

const files = process.argv.slice(2);
const [kafka, redis] = await Promise.all([sharedKafka(), sharedRedis()]);
const summary = path.join(root, 'tests/support/summary.mjs');
const runner = spawn(process.execPath, [
  '--test', '--test-concurrency=1',
  '--test-reporter=spec', '--test-reporter-destination=stdout',
  `--test-reporter=${summary}`, '--test-reporter-destination=stdout',
  ...files,
], {
  stdio: ['ignore', 'inherit', 'inherit'],
  env: { ...process.env, FORCE_COLOR: '0', HEADGATE_TEST_KAFKA: kafka.brokers, HEADGATE_TEST_REDIS: redis.url },
});
const code = await new Promise((resolve) => runner.once('close', (c) => resolve(c ?? 1)));
await Promise.all([kafka.stop?.(), redis.stop?.()]);
process.exit(code);
