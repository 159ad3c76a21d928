// Promise 6: without Redis broadcasts stay on their host and live queries go on; when it is back the hosts hear each other
// again, each broadcast once, and no restart of headgate was needed. Redis may also be absent at the start.
// Not tested here: broadcasts lost while Redis was away (pub/sub keeps nothing; later carriers may).
import test from 'node:test';
import assert from 'node:assert/strict';
import { Client } from '../support/client.mjs';
import { faultsOf } from '../support/database.mjs';
import { startRedis } from '../support/redis.mjs';
import { stage } from '../support/stage.mjs';
import { waitFor } from '../support/wait.mjs';

const heard = (c) => c.messages.filter((m) => m.b !== undefined).map((m) => m.b);
const say = (c, b) => c.send({ op: 'publish', room: 'r', text: JSON.stringify({ b }) });

async function member(s, hg) {
  const c = s.keep(await Client.open(hg.url));
  c.send({ op: 'join', room: 'r' });
  await c.message({ op: 'joined' });
  return c;
}

/** Both hosts hear each other, by what they say and by what arrives. */
async function connected(s, a, b, tag) {
  await Promise.all(s.hosts.map((hg) => waitFor(async () => (await hg.metric('headgate_backplane_up')) >= 1, { ms: 40000, what: 'backplane up' })));
  await Promise.all(s.hosts.map((hg) => hg.ready()));
  say(a, `${tag} from a`);
  say(b, `${tag} from b`);
  await waitFor(() => [a, b].every((c) => [`${tag} from a`, `${tag} from b`].every((x) => heard(c).includes(x))), { what: `broadcasts ${tag}` });
}

for (const how of ['stop', 'kill']) {
  test(`Redis goes (${how}) and comes back`, { timeout: 180000 }, async (t) => {
    const redis = await startRedis();
    t.after(() => redis.stop());
    const s = await stage(t, {
      hosts: 2, options: { workers: 2, backplane: 'redis', backplane_url: redis.url }, expectErrors: [/redis|backplane/i],
    });
    const a = await member(s, s.hosts[0]), neighbour = await member(s, s.hosts[0]), b = await member(s, s.hosts[1]);
    await a.subscribe('t', 'h');
    await b.subscribe('t', 'h');
    await connected(s, a, b, 'before');

    await redis[how]();
    await Promise.all(s.hosts.map((hg) => waitFor(async () => (await hg.metric('headgate_backplane_up')) === 0, { what: 'backplane seen down' })));
    assert.match((await s.hg.readiness()).text, /redis|backplane/i);
    say(a, 'alone');
    await waitFor(() => [a, neighbour].every((c) => heard(c).includes('alone')), { what: 'local delivery' });
    for (let n = 0; n < 100; n++) s.db.commit('t', 'h', 'x', { n });
    await s.db.flush();
    await waitFor(() => [a, b].every((c) => c.sub('h').diffs.length >= 100), { what: 'diffs without Redis' });

    await redis.start();
    await connected(s, a, b, 'after');
    await Promise.all([a, b, neighbour].map((c) => c.ping()));
    for (const c of [a, b, neighbour]) assert.equal(new Set(heard(c)).size, heard(c).length, `repeats: ${heard(c)}`);
    assert.ok(!heard(b).includes('alone'));
    for (const c of [a, b]) assert.deepEqual(faultsOf(s.db, 't', c.sub('h'), { whole: true }), []);
  });
}

test('B-31: Redis is absent when the gateway starts; a failed first attempt is not the last', { timeout: 120000 }, async (t) => {
  const redis = await startRedis();
  t.after(() => redis.stop());
  await redis.stop();
  const s = await stage(t, {
    hosts: 2, until: 'live', options: { workers: 2, backplane: 'redis', backplane_url: redis.url }, expectErrors: [/redis|backplane/i],
  });
  const a = await member(s, s.hosts[0]), b = await member(s, s.hosts[1]);
  say(a, 'alone');
  await waitFor(() => heard(a).includes('alone'), { what: 'local delivery' });
  await redis.start();
  await connected(s, a, b, 'then');
});
