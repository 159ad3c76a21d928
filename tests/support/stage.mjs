// The usual stage of an end-to-end test: topics of its own on a Kafka, the tests' database with its SQL worker, one gateway.
// All of it is taken down after the test, clients first.
import { Database } from './database.mjs';
import { startHeadgate } from './headgate.mjs';
import { ownTopics, sharedKafka } from './kafka.mjs';

/**
 * { kafka, topics, db, hg }; hosts > 1 adds `hosts` (each with its own address and host id).
 *   kafka     one of the test's own, stopped with the rest; otherwise that of the run
 *   sql       behaviour of the SQL worker, or false for none
 *   options   of headgate, or a function of the topics that gives them; env: likewise
 */
export async function stage(t, { kafka, partitions = 4, sql = {}, database = {}, options = {}, env, hosts = 1, until, expectErrors } = {}) {
  const s = { clients: [], hosts: [], own: kafka };
  t.after(() => strike(s));
  s.kafka = kafka ?? await sharedKafka();
  s.topics = await ownTopics(s.kafka.brokers, { partitions });
  s.db = new Database(s.kafka.brokers, s.topics, database);
  await s.db.connect();
  if (sql) await s.db.serve(sql);
  for (let i = 0; i < hosts; i++) {
    s.hosts.push(await startHeadgate({
      name: `host${i + 1}`, ip: `127.0.0.${i + 1}`, env: typeof env === 'function' ? env(s.topics) : env, until, expectErrors,
      options: { ...s.topics.headgate, host_id: `host${i + 1}`, ...(typeof options === 'function' ? options(s.topics) : options) },
    }));
  }
  s.hg = s.hosts[0];
  /** Keeps clients to be ended after the test. */
  s.keep = (clients) => {
    s.clients.push(...[clients].flat());
    return clients;
  };
  return s;
}

async function strike(s) {
  const faults = [];
  for (const c of s.clients) c.terminate();
  for (const thing of [...s.hosts, s.db, s.own]) {
    try {
      if (thing && (!thing.child || thing.isRunning())) await thing.stop();
    } catch (error) {
      faults.push(error);
    }
  }
  if (faults.length) throw faults[0];
}

/** Streams spread over tables: [{ table, hashId }]. */
export const streams = (n, tables) => Array.from({ length: n }, (_, i) => ({ table: `t${i % tables}`, hashId: `h${i}` }));

/** A change source that never stops: commits and produces until stopped; { commits(), stop() }. */
export function producing(db, list, { perTurn = 40, rows = 10, pauseMs = 5, bytes } = {}) {
  let stopped = false, n = 0;
  const done = (async () => {
    while (!stopped) {
      for (let i = 0; i < perTurn; i++, n++) {
        const { table, hashId } = list[(n * 7919) % list.length];
        db.commit(table, hashId, `${hashId}:${n % rows}`, { n }, { bytes });
      }
      await db.flush();
      await new Promise((r) => setTimeout(r, pauseMs));
    }
    // Every stream ends with a change, so that the end of each can be waited for.
    for (const { table, hashId } of list) db.commit(table, hashId, `${hashId}:last`, { n: n++ });
    await db.flush();
  })();
  return {
    commits: () => n,
    stop: () => {
      stopped = true;
      return done;
    },
  };
}

/** Small deterministic random numbers, so that a failure can be had again. */
export function random(seed) {
  let x = seed >>> 0 || 1;
  return (n) => {
    x ^= x << 13; x >>>= 0;
    x ^= x >>> 17;
    x ^= x << 5; x >>>= 0;
    return x % n;
  };
}
