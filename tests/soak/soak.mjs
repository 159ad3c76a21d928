// A soak, by hand: `make -f Makefile.ci soak MINUTES=30`. Two hosts on one Kafka and one Redis, every dialect at once, clients
// that come, subscribe, call, talk and go, Redis and Kafka restarted on the way. At the end it says
// - whether each steady subscription got exactly its diffs (a fault ends the run with 1),
// - how memory and open files of each worker ran (least squares over the time after the warm-up),
// - whether the counters add up: what was published = what was delivered + what was dropped, with the reason.
// Stops by itself; talks to 127.x only.
import { appendFileSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Client } from '../support/client.mjs';
import { Database } from '../support/database.mjs';
import { startHeadgate } from '../support/headgate.mjs';
import { collect, ownTopics, startKafka } from '../support/kafka.mjs';
import { memoryOf, tempDir } from '../support/proc.mjs';
import { startRedis } from '../support/redis.mjs';
import { random } from '../support/stage.mjs';
import { waitFor } from '../support/wait.mjs';
import { Steady } from './steady.mjs';

const minutes = Number(process.env.MINUTES ?? 30), out = process.env.SOAK_OUT ?? path.join(tempDir('soak'), 'samples.jsonl');
const STREAMS = 40, BARE = 10, STEADY = 24, CHURNERS = 12, DIFFS_PER_SECOND = 150, TOKEN = 'soak';
const profiles = ['auto', 'v2', 'v3', 'v1'];
/** v1 and v2 know no queryJson; the bytes of their queries are opaque to the gateway. */
const queryOf = (profile) => (profile === 'v1' || profile === 'v2' ? { queryJson: undefined, queryFbB64: 'cXVlcnk=' } : { queryJson: '{}' });
const pick = random(Number(process.env.SEED ?? 1));
const pause = (ms) => new Promise((r) => setTimeout(r, ms));
const say = (...words) => console.log(new Date().toISOString().slice(11, 19), ...words);

const count = { published: 0, sentTo: 0, rowEvents: 0, envelopes: 0, posted: 0, calls: 0, callErrors: 0, connections: 0, refused: 0, subscribes: 0 };
const end = Date.now() + minutes * 60000;
const running = () => Date.now() < end;

const kafka = await startKafka(), redis = await startRedis();
const topics = await ownTopics(kafka.brokers, { partitions: 6 });
const db = new Database(kafka.brokers, topics, { bareTables: ['bare'] });
await db.connect();
await db.serve({ hashOf: () => 'h0' });
const atEnd = [], control = new Map(); // routing key -> is it live, as the change source sees it
const controls = await collect({ after: (f) => atEnd.push(f) }, kafka.brokers, [topics.control]);
const hosts = [];
for (let i = 1; i <= 2; i++) {
  hosts.push(await startHeadgate({
    name: `soak${i}`, ip: `127.0.0.${i}`, expectErrors: [/./],
    options: {
      ...topics.headgate, kafka_topics: `${topics.headgate.kafka_topics},${topics.bare}:bare,${topics.envelopes}:envelope`, host_id: `soak${i}`, workers: 2, auth: 'trust', publish_token: TOKEN, backplane: 'redis', backplane_url: redis.url,
      profile_paths: profiles.map((p) => `/${p}=${p}`).join(','), default_permissions: 'join,publish,publish_all', interest_linger: '10s',
      history_records: 500, ...(process.env.SOAK_CACHE === 'no' ? {} : { hot_cache: 'on', keydb_host: '127.0.0.1', keydb_port: redis.port }),
    },
  }));
}
const routed = Array.from({ length: STREAMS }, (_, i) => ({ table: `t${i % 8}`, hashId: `h${i}` }));
const bare = Array.from({ length: BARE }, (_, i) => ({ table: 'bare', hashId: `b${i}` }));
const list = [...routed, ...bare];
for (const { table, hashId } of list) db.commit(table, hashId, `${hashId}:0`, { n: 0 });
await db.flush();
say(`${minutes} minutes, ${hosts.length} hosts, Kafka ${kafka.brokers}, Redis ${redis.url}, samples in ${out}`);

// --- steady subscribers: judged all the way ---
const steady = [];
for (let i = 0; i < STEADY; i++) {
  const profile = profiles[i % profiles.length], old = profile === 'v1' || profile === 'v2';
  const where = [routed[i % STREAMS], old ? bare[i % BARE] : routed[(i * 7 + 3) % STREAMS]]; // bare keys are for v1 and v2
  steady.push(new Steady(db, hosts[i % 2].url + profile, where, queryOf(profile)));
}
await Promise.all(steady.map((s) => s.open()));

// --- producers ---
async function produce() {
  for (let n = 0; running(); n++) {
    const began = Date.now(), events = [];
    for (let i = 0; i < DIFFS_PER_SECOND / 5; i++) {
      const { table, hashId } = list[pick(list.length)];
      const { lsn, stream } = db.commit(table, hashId, `${hashId}:${pick(10)}`, { n });
      if (table !== 'bare' && pick(10) === 0) events.push({ key: hashId, value: JSON.stringify({ routingKey: stream, hashId, lsn: String(lsn) }), headers: { lsn: String(lsn) } });
    }
    await db.flush();
    count.rowEvents += events.length;
    if (events.length) await db.producer.send({ topic: topics.rows, messages: events });
    const envelopes = [{ room: 'r', text: 'from Kafka' }, { channel: 'files', data: { n } }];
    count.envelopes += envelopes.length;
    await db.producer.send({ topic: topics.envelopes, messages: [{ value: JSON.stringify(envelopes) }] });
    await pause(Math.max(0, 200 - (Date.now() - began)));
  }
}

async function post() {
  while (running()) {
    const body = [{ room: 'r', text: 'to a room' }, { channel: 'files', data: { file: 'a' } }, { path: '/v3', text: 'to a path' }][pick(3)];
    try {
      const r = await fetch(`${hosts[pick(2)].http}/publish`, { method: 'POST', headers: { authorization: `Bearer ${TOKEN}` }, body: JSON.stringify(body) });
      if (r.status === 200) count.posted++;
      await r.text();
    } catch { /* counted by its absence */ }
    await pause(100);
  }
}

// --- churn: each life is one client's visit ---
const acts = {
  async subscribe(c) {
    const { table, hashId } = list[pick(list.length)];
    count.subscribes++;
    await c.subscribe(table, hashId, queryOf(c.profile), 20000);
    if (pick(2)) c.unsubscribe(table, hashId);
  },
  async rpc(c) {
    const correlationId = `c${count.calls++}`;
    c.send({ op: 'rpc', method: 'UPDATE_SINGLE', table: 't0', correlationId, payload: { primaryId: `h0:${pick(10)}`, updates: { m: pick(1000) } } });
    const r = await c.message({ op: 'rpcResult', correlationId }, { ms: 25000 });
    if (!r.ok) count.callErrors++;
  },
  async room(c) {
    c.send({ op: 'join', room: 'r' });
    await c.message({ op: 'joined' });
    c.send({ op: 'publish', room: 'r', text: JSON.stringify({ m: 'hello' }) });
    await c.ping();
    count.published++;
    c.send({ op: 'leave', room: 'r' });
  },
  async channel(c) {
    c.send({ type: 'subscribe', channel: 'files' });
    await c.message({ status: 'subscribed' });
    if (pick(2)) c.send({ type: 'unsubscribe', channel: 'files' });
  },
  async typed(c) {
    c.send({ type: 'broadcast', data: { m: 1 } });
    c.send({ type: 'get_status' });
    await c.message({ type: 'status' });
    count.published++;
  },
  async sendTo(c) {
    c.send({ op: 'sendTo', id: lately[pick(20)] ?? 'nobody', text: JSON.stringify({ m: 'you' }) });
    await c.ping();
    count.sentTo++;
  },
  async garbage(c) {
    for (const text of ['null', '[]', '{', '{"op":7}', '{"op":"subscribe"}', '"x"']) c.send(text);
    await c.ping();
  },
};

const refusals = {};
function refuse(what, error) {
  const why = `${what}: ${error.message.replace(/[^a-z_ ]/gi, '').slice(0, 40)}`;
  count.refused++;
  refusals[why] = (refusals[why] ?? 0) + 1;
}

const lately = []; // connections that sendTo may name: some are there, some are gone
async function life() {
  const path = [...profiles, 'ws'][pick(5)], names = path === 'v1' ? ['subscribe', 'garbage'] : Object.keys(acts).filter((act) => path !== 'v2' || act !== 'rpc');
  const c = await Client.open(hosts[pick(2)].url + path);
  let act = 'open';
  count.connections++;
  c.profile = path;
  try {
    if (path === 'auto') lately[count.connections % 20] = (await c.message({ type: 'welcome' })).data.connectionId;
    for (let i = 1 + pick(5); i > 0; i--) await acts[act = names[pick(names.length)]](c);
  } catch (error) {
    refuse(`${path} ${act}`, error);
  }
  if (pick(5) === 0) c.terminate();
  else await c.close();
}

async function churn() {
  while (running()) {
    await life().catch((error) => refuse('connect', error));
    await pause(20 + pick(80));
  }
}

// --- faults: Redis and Kafka by turns ---
async function faults() {
  const every = Math.max(20000, (minutes * 60000) / 8);
  for (let n = 0; running(); n++) {
    await pause(Math.min(every, Math.max(0, end - Date.now())));
    if (end - Date.now() < every / 2) return;
    const what = n % 2 ? kafka : redis, name = n % 2 ? 'Kafka' : 'Redis', how = n % 4 < 2 ? 'stop' : 'kill';
    say(`${name}: ${how}`);
    await what[how]();
    await pause(5000);
    await what.start();
    say(`${name}: back`);
  }
}

// --- samples ---
const samples = [];
const filesOf = (pid) => {
  try {
    return readdirSync(`/proc/${pid}/fd`).length;
  } catch {
    return 0;
  }
};
writeFileSync(out, '');
async function sample() {
  const began = Date.now();
  for (let n = 0; running(); n++) {
    const row = { at: (Date.now() - began) / 1000, workers: {} };
    for (const hg of hosts) {
      for (const w of hg.workers()) row.workers[`${hg.options.host_id}/${w.slot}`] = { memory: memoryOf(w.pid), files: filesOf(w.pid), pid: w.pid };
      row.workers[`${hg.options.host_id}/master`] = { memory: memoryOf(hg.pid), files: filesOf(hg.pid), pid: hg.pid };
    }
    samples.push(row);
    appendFileSync(out, `${JSON.stringify({ ...row, count })}\n`);
    if (n % 6 === 0) {
      const mib = Object.entries(row.workers).map(([name, w]) => `${name} ${(w.memory / 2 ** 20).toFixed(1)} MiB ${w.files} fd`).join(', ');
      say(`${Math.round(row.at)} s: ${mib}; ${JSON.stringify(count)}; steady ${JSON.stringify(Steady.total(steady))}`);
    }
    await pause(10000);
  }
}

await Promise.all([produce(), post(), ...Array.from({ length: CHURNERS }, churn), faults(), sample()]);

// --- the end: everything that is due arrives, then the reckoning ---
say('settling');
for (const { table, hashId } of list) db.commit(table, hashId, `${hashId}:last`, { n: -1 });
await db.flush();
await waitFor(() => steady.every((s) => s.isCurrent()), { ms: 60000, what: 'the last diff at every steady subscriber' }).catch((e) => say(String(e)));
const behind = steady.filter((s) => !s.isCurrent()).map((s) => `${s.url} never got the last diff: ${s.state()}`);
const figures = await Promise.all(hosts.map(async (hg) => {
  const text = await (await fetch(`${hg.admin}/metrics`)).text();
  return Object.fromEntries([...text.matchAll(/^headgate_(\w+) (\S+)$/gm)].map(([, name, v]) => [name, Number(v)]));
}));
const sum = (name) => figures.reduce((n, f) => n + (f[name] ?? 0), 0);

/** Bytes (or files) per hour and worker, by least squares over the last three quarters of the run. */
function slope(name, field) {
  const rows = samples.filter((r) => r.at >= minutes * 15 && r.workers[name]);
  const xs = rows.map((r) => r.at / 3600), ys = rows.map((r) => r.workers[name][field]);
  const mx = xs.reduce((a, b) => a + b, 0) / xs.length, my = ys.reduce((a, b) => a + b, 0) / ys.length;
  const up = xs.reduce((a, x, i) => a + (x - mx) * (ys[i] - my), 0), down = xs.reduce((a, x) => a + (x - mx) ** 2, 0);
  return { mean: my, perHour: down ? up / down : 0, least: Math.min(...ys), most: Math.max(...ys), last: ys.at(-1) };
}
for (const name of Object.keys(samples.at(-1)?.workers ?? {})) {
  const m = slope(name, 'memory'), f = slope(name, 'files');
  say(`${name}: memory ${(m.mean / 2 ** 20).toFixed(2)} MiB (${(m.least / 2 ** 20).toFixed(2)}..${(m.most / 2 ** 20).toFixed(2)}), ${(m.perHour / 2 ** 20).toFixed(2)} MiB/h; files ${f.mean.toFixed(1)} (${f.least}..${f.most}), ${f.perHour.toFixed(1)}/h`);
}
const total = Steady.total(steady);
say('steady', JSON.stringify(total), 'churn', JSON.stringify(count));
say('refused', JSON.stringify(refusals, null, 1));
for (const [i, f] of figures.entries()) {
  say(`host ${i + 1}: records ${f.records_total} of ${db.history.length} produced; repeated ${f.records_repeated_total}, no lsn ${f.records_no_lsn_total}, disorder ${f.records_disorder_total}`);
}
say(`broadcasts ${sum('broadcasts_total')} (clients' ${count.published}, posted ${count.posted}); backplane sent ${sum('backplane_sent_total')}, dropped ${sum('backplane_dropped_total')}, received ${sum('backplane_received_total')}, own ${sum('backplane_own_total')}, malformed ${sum('backplane_malformed_total')}`);
say(`resets ${sum('streams_reset_total')}, overflows ${sum('overflows_total')}, snapshots ${sum('snapshots_total')}, failed ${sum('snapshots_failed_total')}, holes ${sum('ring_holes_total')}`);
writeFileSync(`${out}.metrics.json`, JSON.stringify(figures, null, 1));
const faultsFound = [...behind, ...steady.flatMap((s) => s.faults)];
for (const fault of faultsFound.slice(0, 10)) say('FAULT', fault);
for (const s of steady) s.terminate();
const live = () => {
  for (const { key, value } of controls) control.set(key, value !== null);
  return [...control.values()].filter((l) => l).length;
};
await waitFor(() => live() === 0, { ms: 60000, what: () => `a tombstone behind every query: ${live()} of ${control.size} live` })
  .catch((error) => faultsFound.push(String(error)));
say(`query control: ${controls.filter((r) => r.value !== null).length} messages and ${controls.filter((r) => r.value === null).length} tombstones of ${control.size} queries, ${live()} live`);
for (const hg of hosts) await hg.stop().catch((error) => faultsFound.push(String(error)));
for (const f of atEnd) await f().catch((error) => say(String(error)));
await db.stop().catch((error) => say(String(error)));
await Promise.all([kafka.stop(), redis.stop()]);
say(faultsFound.length ? `${faultsFound.length} faults` : 'no fault');
process.exit(faultsFound.length ? 1 : 0);
