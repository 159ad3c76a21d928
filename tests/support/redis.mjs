// A redis-server for the tests, without files; sharedRedis() is the one of the whole run, as with Kafka.
import path from 'node:path';
import { Redis } from 'ioredis';
import { freePort } from './ports.mjs';
import { inBackground, start, stop, tempDir } from './proc.mjs';
import { waitFor } from './wait.mjs';

/** { url, port, stop(), kill(), start(), client() } */
export async function startRedis({ background = false, port } = {}) {
  const dir = tempDir('redis');
  port ??= await freePort();
  let child;
  const redis = {
    port,
    url: `redis://127.0.0.1:${port}`,
    async start() {
      child = start(['redis-server', '--port', String(port), '--bind', '127.0.0.1', '--dir', dir, '--save', '', '--appendonly', 'no'],
        { file: path.join(dir, 'out.log') });
      if (background) inBackground(child);
      await waitFor(async () => {
        const c = redis.client({ retryStrategy: null, lazyConnect: true });
        try {
          await c.connect();
          return (await c.ping()) === 'PONG';
        } catch {
          return false;
        } finally {
          c.disconnect();
        }
      }, { what: `redis-server on ${port}` });
    },
    stop: () => stop(child, 'SIGTERM'),
    kill: () => stop(child, 'SIGKILL'),
    client(options = {}) {
      const c = new Redis({ port, host: '127.0.0.1', ...options });
      c.on('error', () => {}); // the calls say it
      return c;
    },
  };
  await redis.start();
  return redis;
}

let shared;
/** The Redis of this test run; its pub/sub channel is shared by tests that run at the same time, so files run one by one. */
export function sharedRedis() {
  if (process.env.HEADGATE_TEST_REDIS) return Promise.resolve({ url: process.env.HEADGATE_TEST_REDIS });
  shared ??= startRedis({ background: true });
  return shared;
}
