// TERM drains: every client is closed with 1012 within drain_timeout, the exit code is 0, nothing stays behind (workers,
// reply topics). INT is at once and says 1001.
// Not tested here: a drain with a successor (rolling comes with a later issue).
import test from 'node:test';
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { Client, openClients } from '../support/client.mjs';
import { kafkaClient, sharedKafka } from '../support/kafka.mjs';
import { stateOf } from '../support/proc.mjs';
import { stage } from '../support/stage.mjs';
import { slowness, waitFor } from '../support/wait.mjs';

const replyTopics = async (brokers) => {
  const admin = kafkaClient(brokers).admin();
  await admin.connect();
  const topics = (await admin.listTopics()).filter((name) => name.startsWith('sql.rpc.responses'));
  await admin.disconnect();
  return topics;
};

for (const [signal, code, reason] of [['SIGTERM', 1012, 'restarting'], ['SIGINT', 1001, 'going away']]) {
  test(`${signal}: clients are closed with ${code} "${reason}"`, { timeout: 90000 }, async (t) => {
    const others = new Set(await replyTopics((await sharedKafka()).brokers)); // of gateways that other tests have killed
    const s = await stage(t, { options: { workers: 2, drain_timeout: '3s' } });
    const clients = s.keep(await openClients(60, s.hg.url));
    await Promise.all(clients.map((c, i) => c.subscribe('t', `h${i % 5}`)));
    const pids = s.hg.workers().map((w) => w.pid);
    assert.equal((await replyTopics(s.kafka.brokers)).filter((name) => !others.has(name)).length, 2, 'a reply topic for each worker');
    const began = Date.now();
    await s.hg.stop(signal);
    const took = Date.now() - began;
    t.diagnostic(`stopped in ${took} ms`);
    assert.ok(took < (signal === 'SIGTERM' ? 5000 : 2500) * slowness(), `${took} ms`);
    await Promise.all(clients.map((c) => c.whenClosed(2000)));
    assert.deepEqual([...new Set(clients.map((c) => `${c.closed.code} ${c.closed.reason}`))], [`${code} ${reason}`]);
    for (const pid of pids) assert.equal(stateOf(pid), '', 'no worker stays');
    await waitFor(async () => (await replyTopics(s.kafka.brokers)).every((name) => others.has(name)), { what: 'the reply topics to be gone' });
  });
}

test('a client that does not read and one that never finished its request do not hold up the end', { timeout: 60000 }, async (t) => {
  const s = await stage(t, { sql: false, options: { workers: 1, drain_timeout: '2s' } });
  const deaf = s.keep(await Client.open(s.hg.url));
  deaf.pause();
  const half = connect(s.hg.port, s.hg.ip);
  half.on('error', () => {});
  t.after(() => half.destroy());
  half.write('GET / HTTP/1.1\r\nHost: x\r\n');
  await waitFor(async () => (await s.hg.metric('headgate_accepted_total')) >= 2, { what: 'both connections' });
  const began = Date.now();
  await s.hg.stop('SIGTERM');
  assert.ok(Date.now() - began < 6000 * slowness());
});
