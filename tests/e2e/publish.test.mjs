// Publishing for back ends: POST /publish and headgate ctl publish say how many connections of all workers of its host were reached and whether the
// other hosts were told, wait for siblings at most a moment, and requests sent ahead are served in their order. A Kafka topic of
// envelopes reaches the clients of every host exactly once, also when a worker dies; nothing of before the start is sent.
// Not tested here: wrong bodies, tokens and methods (channels).
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import assert from 'node:assert/strict';
import { Client, clientsOnEachWorker } from '../support/client.mjs';
import { headgate, startHeadgate } from '../support/headgate.mjs';
import { tcp } from '../support/http.mjs';
import { kafkaClient, makeTopics, ownTopics, sharedKafka } from '../support/kafka.mjs';
import { ownerOfConnection } from '../support/proc.mjs';
import { startRedis } from '../support/redis.mjs';
import { waitFor } from '../support/wait.mjs';

const TOKEN = 'secret';

async function scene(t, { hosts = 1, workers = 2, envelopes = 0, before, options = {}, expectErrors } = {}) {
  const kafka = await sharedKafka();
  const redis = hosts > 1 ? await startRedis() : undefined;
  const topics = await ownTopics(kafka.brokers);
  const s = { redis, hosts: [], clients: [], topic: `env.${topics.tag}`, kafka };
  t.after(async () => {
    for (const c of s.clients) c.terminate();
    for (const hg of s.hosts) if (hg.isRunning()) await hg.stop();
    await s.producer?.disconnect();
    await redis?.stop();
  });
  if (envelopes) {
    await makeTopics(kafka.brokers, { [s.topic]: envelopes });
    s.producer = kafkaClient(kafka.brokers).producer();
    await s.producer.connect();
  }
  s.produce = (...values) => s.producer.send({ topic: s.topic, messages: values.map((v) => ({ value: typeof v === 'string' || v === null ? v : JSON.stringify(v) })) });
  await before?.(s);
  for (let i = 1; i <= hosts; i++) {
    s.hosts.push(await startHeadgate({
      name: `host${i}`, ip: `127.0.0.${i}`, expectErrors,
      options: {
        ...topics.headgate, host_id: `host${i}`, workers, auth: 'trust', publish_token: TOKEN,
        ...(envelopes ? { kafka_topics: `${topics.headgate.kafka_topics},${s.topic}:envelope` } : {}),
        ...(redis ? { backplane: 'redis', backplane_url: redis.url } : {}), ...options,
      },
    }));
  }
  s.open = async (hg, path = '', more) => {
    const c = await Client.open(hg.url + path, more);
    s.clients.push(c);
    return c;
  };
  s.spread = async (hg, each = 1) => {
    const lists = [...(await clientsOnEachWorker(hg, each, ownerOfConnection)).values()];
    s.clients.push(...lists.flat());
    return lists;
  };
  s.publish = async (hg, body) => {
    const a = await fetch(`${hg.http}/publish`, { method: 'POST', headers: { authorization: `Bearer ${TOKEN}` }, body: JSON.stringify(body) });
    return { status: a.status, ...(await a.json()) };
  };
  return s;
}

const texts = (c) => c.messages.filter((m) => m.b !== undefined).map((m) => m.b);
const say = (b, to = { room: 'r' }) => ({ ...to, text: JSON.stringify({ b }) });
const idOf = async (c) => (await c.message({ type: 'welcome' })).data.connectionId;

async function join(c, room = 'r') {
  c.send({ op: 'join', room });
  await c.message({ op: 'joined', room });
}

test('the answer counts who was reached on all workers of the host, and says whether other hosts were told', { timeout: 120000 }, async (t) => {
  const s = await scene(t, { hosts: 2, workers: 3 });
  const [one, two] = s.hosts;
  const here = (await s.spread(one, 2)).flat(), there = (await s.spread(two)).flat();
  const stranger = await s.open(one, '', { headers: { 'x-tenant': 'other' } });
  const members = [...here, ...there];
  await Promise.all(members.map((c) => join(c)));
  await join(stranger);
  assert.deepEqual(await s.publish(one, say('room')), { status: 200, delivered: here.length, relayed: true });
  assert.deepEqual(await s.publish(two, say('room')), { status: 200, delivered: there.length, relayed: true });
  assert.deepEqual(await s.publish(one, say('nobody', { room: 'empty' })), { status: 200, delivered: 0, relayed: true });
  assert.deepEqual(await s.publish(one, [say('x'), say('x', { path: '/' }), say('x', { tenant: 'other', all: true })]), { status: 200, delivered: 2 * here.length + 1, relayed: true });
  assert.deepEqual(await s.publish(one, []), { status: 200, delivered: 0, relayed: false });
  const [c, d] = [here[0], there[0]];
  assert.equal((await s.publish(one, say('you', { id: await idOf(c) }))).delivered, 1, 'on this host, whichever worker has it');
  const asked = await s.publish(one, say('you', { id: await idOf(d) }));
  assert.deepEqual(asked, { status: 200, delivered: 0, relayed: true }, 'on another host');
  await waitFor(() => members.every((m) => texts(m).filter((b) => b === 'x').length === 2) && [c, d].every((m) => texts(m).includes('you')), { what: 'what was published' });
  for (const m of [...members, stranger]) assert.equal(texts(m).filter((b) => b === 'you').length, m === c || m === d ? 1 : 0);

  await s.redis.kill();
  await waitFor(async () => (await one.metric('headgate_backplane_up')) === 0, { what: 'the backplane seen down' });
  assert.deepEqual(await s.publish(one, say('alone')), { status: 200, delivered: here.length, relayed: false });
  await s.redis.start();
});

test('exclude leaves connections out, whichever worker and host has them; also of records', { timeout: 120000 }, async (t) => {
  const s = await scene(t, { hosts: 2, workers: 2, envelopes: 1 });
  const [hg] = s.hosts;
  const here = (await s.spread(hg)).flat(), there = (await s.spread(s.hosts[1])).flat();
  const members = [...here, ...there];
  await Promise.all(members.map((c) => join(c)));
  const [a, b, c] = await Promise.all([here[0], here.at(-1), there[0]].map(idOf));
  assert.equal((await s.publish(hg, { ...say('not a'), exclude: a })).delivered, here.length - 1);
  assert.equal((await s.publish(hg, { ...say('none of three', { path: '/' }), exclude: [a, b, c, 'no id'] })).delivered, here.length - 2);
  await s.produce({ ...say('record'), exclude: [b, c] });
  await s.publish(hg, say('end'));
  const done = (x) => texts(x).includes('end') && (x === here.at(-1) || x === there[0] || texts(x).includes('record'));
  await waitFor(() => members.every(done), { what: 'what was published' });
  await Promise.all(members.map((x) => x.ping()));
  for (const x of members) {
    const without = { [a]: ['not a', 'none of three'], [b]: ['none of three', 'record'], [c]: ['none of three', 'record'] }[await idOf(x)] ?? [];
    assert.deepEqual([...texts(x)].sort(), ['end', 'none of three', 'not a', 'record'].filter((m) => !without.includes(m)));
  }
});

test('a sibling that stands still is named, not waited for without end', { timeout: 120000 }, async (t) => {
  const s = await scene(t, { options: { worker_hang_timeout: '1m' } });
  const [hg] = s.hosts;
  const lists = await s.spread(hg);
  await Promise.all(lists.flat().map((c) => join(c)));
  const [{ pid }] = hg.workers();
  process.kill(pid, 'SIGSTOP');
  t.after(() => hg.workers().some((w) => w.pid === pid) && process.kill(pid, 'SIGCONT'));
  // The standing one may also be the one that got the connection: then the next try goes elsewhere.
  const answer = await waitFor(async () => {
    const ac = new AbortController();
    const timer = setTimeout(() => ac.abort(), 1000);
    try {
      const a = await fetch(`${hg.http}/publish`, { method: 'POST', signal: ac.signal, headers: { authorization: `Bearer ${TOKEN}`, connection: 'close' }, body: JSON.stringify(say('still')) });
      return await a.json();
    } catch {
      return undefined;
    } finally {
      clearTimeout(timer);
    }
  }, { ms: 60000, what: 'an answer of the other worker' });
  assert.equal(answer.unanswered, 1);
  assert.ok(answer.delivered < lists.flat().length && answer.delivered > 0, `${answer.delivered}`);
  process.kill(pid, 'SIGCONT');
  await waitFor(() => lists.flat().every((c) => texts(c).includes('still')), { what: 'the message at the one that went on' });
});

test('a burst of requests that all workers meet in one turn is sent and counted', { timeout: 120000 }, async (t) => {
  const s = await scene(t, { options: { worker_hang_timeout: '1m' } });
  const [hg] = s.hosts;
  const members = (await s.spread(hg)).flat();
  await Promise.all(members.map((c) => join(c)));
  const body = JSON.stringify(say('burst'));
  const request = `POST /publish HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${TOKEN}\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`;
  const N = 700; // more per worker than some hundreds of answers under way
  const asking = await Promise.all(Array.from({ length: N }, () => tcp(hg.http)));
  const pids = hg.workers().map((w) => w.pid);
  for (const pid of pids) process.kill(pid, 'SIGSTOP');
  for (const a of asking) await a.write(request);
  for (const pid of pids) process.kill(pid, 'SIGCONT');
  await Promise.all(asking.map((a) => a.until(() => a.text().includes('}'))));
  const statuses = asking.map((a) => a.text().slice(9, 12));
  assert.deepEqual([...new Set(statuses)], ['200']);
  await waitFor(() => members.every((c) => texts(c).filter((b) => b === 'burst').length === N), { what: 'all of them at every member' });
  for (const a of asking) a.destroy();
});

test('requests sent ahead are answered in order; one that ends its side behind its request is answered', { timeout: 120000 }, async (t) => {
  const s = await scene(t, { workers: 3 });
  const [hg] = s.hosts;
  const members = (await s.spread(hg)).flat();
  await Promise.all(members.map((c) => join(c)));
  const request = (n) => {
    const body = JSON.stringify(say(n));
    return `POST /publish HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${TOKEN}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
  };
  const N = 50;
  const ahead = await tcp(hg.http);
  await ahead.write(`${Array.from({ length: N }, (_, n) => request(n)).join('')}GET /health HTTP/1.1\r\nHost: x\r\n\r\n`);
  await ahead.until(() => ahead.text().includes('"healthy"'));
  const answers = [...ahead.text().matchAll(/\{"delivered".*?\}/g)].map((m) => JSON.parse(m[0]));
  assert.deepEqual(answers, Array.from({ length: N }, () => ({ delivered: members.length, relayed: false })));
  ahead.destroy();
  await waitFor(() => members.every((c) => texts(c).length >= N), { what: 'all of them' });
  for (const c of members) assert.deepEqual(texts(c), Array.from({ length: N }, (_, n) => n));

  const half = await tcp(hg.http);
  half.socket.end(request('half'));
  await half.until(() => half.text().includes('delivered'));
  assert.equal(JSON.parse(half.text().split('\r\n\r\n')[1]).delivered, members.length);
  half.destroy();
  const gone = await tcp(hg.http); // one that goes away does not matter
  await gone.write(request('gone'));
  gone.destroy();
  await waitFor(() => members.every((c) => texts(c).includes('gone')), { what: 'the message of the one that left' });
});

test('headgate ctl publish: every target and source of a message, the count of all workers, exit codes', { timeout: 120000 }, async (t) => {
  const s = await scene(t, { hosts: 2, workers: 3, options: { publish_token: '' } });
  const [hg] = s.hosts;
  const here = (await s.spread(hg)).flat(), there = (await s.spread(s.hosts[1])).flat();
  const stranger = await s.open(hg, 'chat', { headers: { 'x-tenant': 'other' } });
  const everyone = [...here, ...there, stranger];
  const bytes = new Map(everyone.map((c) => [c, []]));
  for (const c of everyone) c.rawBinary = (data) => bytes.get(c).push(data.toString('hex'));
  await Promise.all(everyone.map((c) => join(c)));
  here[0].send({ type: 'subscribe', channel: 'git' });
  await here[0].message({ status: 'subscribed' });
  const ctl = (...words) => headgate(['ctl', 'publish', ...words, '--config', hg.conf]);
  const reached = async (n, ...words) => {
    const r = await ctl(...words);
    assert.equal(r.code, 0, r.stderr);
    assert.match(r.stdout, new RegExp(`^reached ${n} connections? of this host; `), words.join(' '));
    return r.stdout;
  };
  for (let i = 0; i < 6; i++) await reached(here.length, '--room', 'r', `{"b":${i}}`); // whichever worker is asked
  await reached(1, '--tenant=other', '--room=r', '{"b":"theirs"}');
  await reached(1, '--path', '/chat', '--tenant', 'other', '{"b":"path"}');
  await reached(here.length, '{"b":"all"}', '--all');
  assert.match(await reached(0, '--id', await idOf(there[0]), '{"b":"you"}'), /handed to the backplane/);
  await reached(1, '--channel', 'git', '{"n":1}');
  await reached(0, '--room', 'empty', 'x');
  await reached(here.length - 1, '--room', 'r', '--exclude', await idOf(here[0]), '{"c":"not the first"}');
  const file = path.join(hg.dir, 'message');
  writeFileSync(file, Buffer.from([0xff, 0, 1]));
  await reached(here.length, '--room', 'r', '--file', file, '--binary');
  await reached(here.length, '--room', 'r', '--b64', '/wAB');
  const piped = spawn(hg.child.spawnfile, ['ctl', 'publish', '--json', '--room', 'r', '-', '--config', hg.conf], { env: {} });
  let out = '';
  piped.stdout.on('data', (d) => { out += d; });
  piped.stdin.end('{"b":"piped ü"}');
  assert.equal(await new Promise((r) => piped.on('close', r)), 0);
  assert.deepEqual(JSON.parse(out), { delivered: here.length, relayed: true });

  await waitFor(() => [...here, ...there].every((c) => texts(c).includes('piped ü') && bytes.get(c).length === 2) && texts(there[0]).includes('you') && texts(stranger).length === 2, { what: 'what was published' });
  for (const c of here) assert.deepEqual(texts(c), [0, 1, 2, 3, 4, 5, 'all', 'piped ü']);
  for (const c of [...here, ...there]) assert.deepEqual(bytes.get(c), ['ff0001', 'ff0001']);
  assert.deepEqual(texts(stranger), ['theirs', 'path']);
  assert.equal(here[0].messages.find((m) => m.type === 'event').data.n, 1);

  const refused = async (code, why, ...words) => {
    const r = await ctl(...words);
    assert.equal(r.code, code, words.join(' '));
    assert.match(r.stderr, why);
    assert.equal(r.stdout, '');
  };
  await refused(2, /to whom\?[^]*usage/, 'text');
  await refused(2, /more than one receiver/, '--all', '--room', 'r', 'text');
  await refused(2, /no message/, '--all');
  await refused(2, /more than one message/, '--all', 'a', 'b');
  await refused(2, /lacks its value/, '--all', 'a', '--room');
  await refused(2, /JSON, not bytes/, '--channel', 'c', '--b64', 'YQ==');
  await refused(2, /unknown flag "--rom"/, '--all', 'a', '--rom=r');
  await refused(1, /exclude: expected none together with id/, '--id', 'x', '--exclude', 'x', 'y');
  await refused(1, /must be JSON/, '--channel', 'c', 'text');
  await refused(1, /data: expected an object/, '--channel', 'c', '[1]');
  await refused(1, /tenant: '\|' is not allowed/, '--all', '--tenant', 'a|b', 'x');
  await refused(1, /b64: expected base64/, '--all', '--b64', '!');
  await refused(1, /no such file/i, '--all', '--file', `${file}.none`);
  await refused(1, /not UTF-8; --binary/, '--all', '--file', file);
  writeFileSync(file, 'x'.repeat(70000));
  await refused(1, /too large for the control socket.*POST \/publish/, '--all', '--file', file);
  writeFileSync(file, JSON.stringify({ b: 'y'.repeat(50000) }));
  await reached(here.length, '--room', 'r', '--file', file);
  const gone = await headgate(['ctl', 'publish', '--all', 'x', `--control-socket=${file}.none`]);
  assert.equal(gone.code, 1);
  assert.match(gone.stderr, /no headgate answers/);
});

test('records of an envelope topic reach the clients of every host once, and are not relayed', { timeout: 120000 }, async (t) => {
  const s = await scene(t, { hosts: 2, envelopes: 3, before: (x) => x.produce(...Array.from({ length: 10 }, () => say('old', { all: true }))) });
  const tap = s.redis.client();
  const heard = [];
  t.after(() => tap.disconnect());
  await tap.subscribe('tina4:ws', 'headgate:bus');
  tap.on('message', (_, text) => heard.push(JSON.parse(text)));
  const members = [];
  for (const hg of s.hosts) members.push(...(await s.spread(hg)).flat());
  const stranger = await s.open(s.hosts[0], '', { headers: { 'x-tenant': 'other' } });
  const bytes = new Map(s.clients.map((c) => [c, []]));
  for (const c of s.clients) c.rawBinary = (data) => bytes.get(c).push(data.toString());
  await Promise.all([...members, stranger].map((c) => join(c)));
  for (const c of [...members, stranger]) {
    c.send({ type: 'subscribe', channel: 'git' });
    await c.message({ status: 'subscribed' });
  }
  const before = Date.now();
  await s.produce(
    say('room'), say('all', { all: true }), { path: '/', b64: Buffer.from('bytes').toString('base64') },
    [{ channel: 'git', data: { n: 1 } }, say('batch'), say('theirs', { tenant: 'other', room: 'r' })],
    say('you', { id: await idOf(members[0]) }),
  );
  const events = (c) => c.messages.filter((m) => m.type === 'event');
  await waitFor(() => members.every((c) => texts(c).length >= 3 && events(c).length >= 1 && bytes.get(c).length >= 1) && texts(stranger).length >= 1 && texts(members[0]).includes('you'), { what: 'the records at every member' });
  await Promise.all([...members, stranger].map((c) => c.ping()));
  for (const c of members) {
    assert.deepEqual([...texts(c)].sort(), ['all', 'batch', 'room', ...(c === members[0] ? ['you'] : [])]);
    assert.deepEqual(bytes.get(c), ['bytes']);
    assert.equal(events(c)[0].data.n, 1);
    assert.ok(Math.abs(events(c)[0].data.timestamp - before) < 60000, 'the time of the record');
  }
  assert.equal(new Set(members.map((c) => events(c)[0].data.timestamp)).size, 1, 'the same time on all hosts');
  assert.deepEqual(texts(stranger), ['theirs']);
  assert.deepEqual(heard.filter((e) => e.kind !== 'count'), [], 'nothing crosses the backplane');
});

test('a wrong record is counted and warned about with its position, and the next ones are served', { timeout: 120000 }, async (t) => {
  const s = await scene(t, { envelopes: 1, options: { max_record: '64k' } });
  const [hg] = s.hosts;
  const [[c]] = await s.spread(hg);
  await join(c);
  const wrong = ['', 'no json', 'null', '5', '{}', say('x', { room: 5 }), [say('half'), { room: 'r' }], { room: 'r', b64: '!' }, say('t', { tenant: 'a|b', all: true })];
  await s.produce(...wrong, null, say('x'.repeat(70000)), say('good'));
  await waitFor(() => texts(c).includes('good'), { what: 'the record behind them' });
  assert.deepEqual(texts(c), ['good'], 'one wrong message keeps its whole record back');
  assert.equal(await hg.metric('headgate_envelopes_bad_total'), wrong.length);
  assert.equal(await hg.metric('headgate_records_no_key_total'), 1);
  assert.match(hg.logText(), new RegExp(`envelope.bad topic=${s.topic} partition=0 offset=0 why="body: expected JSON"`));
  assert.match(hg.logText(), /record.too_large/);
});

test('exactly once on a host whose workers die', { timeout: 180000 }, async (t) => {
  const s = await scene(t, { workers: 3, envelopes: 6, expectErrors: [/worker|killed/i] });
  const [hg] = s.hosts;
  const lists = await s.spread(hg);
  const members = lists.flat();
  await Promise.all(members.map((c) => join(c)));
  let n = 0, stop = false;
  const sending = (async () => {
    while (!stop) await s.produce(...Array.from({ length: 20 }, () => say(n++)));
  })();
  for (let round = 0; round < 2; round++) {
    const from = n;
    await waitFor(() => n > from + 100, { what: 'records under way' });
    const [victim] = hg.workers();
    process.kill(victim.pid, 'SIGKILL');
    await waitFor(() => hg.workers().length === 3 && hg.workers().every((w) => w.pid !== victim.pid), { what: 'a new worker' });
  }
  await waitFor(() => hg.ready(), { what: 'readiness' });
  stop = true;
  await sending;
  const alive = members.filter((c) => !c.closed);
  assert.ok(alive.length >= 1, 'somebody kept its connection');
  await waitFor(() => alive.every((c) => texts(c).length >= n), { ms: 30000, what: () => `${n} records, got ${alive.map((c) => texts(c).length)}` });
  await Promise.all(alive.map((c) => c.ping()));
  for (const c of alive) assert.deepEqual([...texts(c)].sort((a, b) => a - b), Array.from({ length: n }, (_, i) => i));
});
