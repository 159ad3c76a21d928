// Promise 8: tenants are walls, and nobody is believed who was not listed. x-tenant of an unlisted peer is ignored and the
// log names the option that would accept it; of a listed one it counts; rooms, streams and broadcasts of one tenant never
// reach another; publishing to everyone needs its permission.
// Not tested here: tokens (a later issue verifies them).
import test from 'node:test';
import assert from 'node:assert/strict';
import { Client } from '../support/client.mjs';
import { Database } from '../support/database.mjs';
import { exchange, upgrade } from '../support/http.mjs';
import { sharedRedis } from '../support/redis.mjs';
import { stage } from '../support/stage.mjs';
import { waitFor } from '../support/wait.mjs';

const as = (tenant) => ({ headers: { 'x-tenant': tenant } });

test('B-29: x-tenant of an unlisted peer is ignored, and the log names the option', { timeout: 60000 }, async (t) => {
  const s = await stage(t, { options: { workers: 1 } });
  const c = s.keep(await Client.open(s.hg.url, as('acme')));
  await c.subscribe('t', 'h');
  assert.equal(s.db.calls.at(-1).companyId, 'demo');
  await waitFor(() => /trusted_proxies/.test(s.hg.logText()), { what: 'the log line' });
  assert.ok((await s.hg.metric('headgate_identity_ignored_total')) >= 1);
});

for (const [name, options] of [['a listed proxy', { trusted_proxies: '127.0.0.0/8' }], ['auth = trust', { auth: 'trust' }]]) {
  test(`x-tenant is believed from ${name}`, { timeout: 60000 }, async (t) => {
    const s = await stage(t, { options: { workers: 1, ...options } });
    const c = s.keep(await Client.open(s.hg.url, as('acme')));
    await c.subscribe('t', 'h');
    assert.equal(s.db.calls.at(-1).companyId, 'acme');
    if (options.auth) assert.match(s.hg.logText(), / warn .*auth/, 'trust is warned about at start');
  });
}

// A path with profile v3, because the bearer subprotocol alone makes a v1 client, and v1 is not told who anybody is.
for (const [options, user] of [[{}, 'anonymous'], [{ auth: 'trust' }, 'alice']]) {
  test(`an unverified bearer token makes the user ${user} with ${JSON.stringify(options)}`, { timeout: 60000 }, async (t) => {
    const s = await stage(t, { sql: false, options: { workers: 1, profile_paths: '/live=v3', ...options } });
    const c = s.keep(await Client.open(new URL('/live', s.hg.url).href, { protocols: ['json', 'bearer.alice'] }));
    assert.equal(c.ws.protocol, 'json', 'a token is never echoed');
    c.send({ type: 'broadcast', data: 1 });
    assert.equal((await c.message({ type: 'broadcast_message' })).data.from, user);
    if (!options.auth) assert.doesNotMatch(s.hg.logText(), /alice/, 'tokens stay out of the log');
  });
}

test('B-13: a tenant name that would make two keys one is refused', { timeout: 60000 }, async (t) => {
  const s = await stage(t, { sql: false, options: { workers: 1, trusted_proxies: '127.0.0.1' } });
  for (const tenant of ['a_b', 'a|b', 'caf\xe9']) { // the last one as Latin-1: in JSON all such bytes become one character
    await assert.rejects(Client.open(s.hg.url, as(tenant)), /400/);
  }
});

test('who a client is must be said once: what a proxy adds behind the client\'s own header counts no less than that', { timeout: 60000 }, async (t) => {
  for (const options of [{ trusted_proxies: '127.0.0.1' }, { auth: 'trust' }]) {
    const s = await stage(t, { sql: false, options: { workers: 1, ...options } });
    for (const name of ['x-tenant', 'x-user-id', 'x-user']) {
      const answer = await exchange(s.hg.url, upgrade({ headers: { [name]: ['spoofed', 'of-the-proxy'] } }));
      assert.equal(answer.status, 400, name);
      assert.match(answer.body, /twice/);
    }
    assert.equal((await exchange(s.hg.url, upgrade({ headers: { 'x-tenant': 'a', 'x-user-id': 'i', 'x-user': 'u' } }))).status, 101);
  }
});

test('streams, rooms and broadcasts of one tenant never reach another, on two hosts', { timeout: 120000 }, async (t) => {
  const redis = await sharedRedis();
  const s = await stage(t, {
    hosts: 2,
    options: {
      workers: 2, trusted_proxies: '127.0.0.0/8', backplane: 'redis', backplane_url: redis.url,
      default_permissions: 'join,publish,publish_all',
    },
  });
  const acme = new Database(s.kafka.brokers, s.topics, { tenant: 'acme', firstLsn: 500000n });
  const globex = new Database(s.kafka.brokers, s.topics, { tenant: 'globex', firstLsn: 500000n });
  t.after(() => Promise.all([acme.close(), globex.close()]));
  await Promise.all([acme.connect(), globex.connect()]);
  const clients = [];
  for (const tenant of ['acme', 'globex']) {
    for (let i = 0; i < 4; i++) {
      const c = s.keep(await Client.open(s.hosts[i % 2].url, as(tenant)));
      c.tenant = tenant;
      await c.subscribe('t', 'h');
      c.send({ op: 'join', room: 'r' });
      await c.message({ op: 'joined' });
      clients.push(c);
    }
  }
  const N = 200;
  for (let n = 0; n < N; n++) {
    acme.commit('t', 'h', 'x', { n });
    globex.commit('t', 'h', 'x', { n });
    const [a, g] = [clients[n % 4], clients[4 + n % 4]];
    const target = [{ room: 'r' }, {}, { path: '/' }][n % 3];
    a.send({ op: 'publish', ...target, text: JSON.stringify({ b: `acme ${n}` }) });
    g.send({ op: 'publish', ...target, text: JSON.stringify({ b: `globex ${n}` }) });
  }
  await Promise.all([acme.flush(), globex.flush()]);
  await waitFor(() => clients.every((c) => c.binary >= N && c.messages.filter((m) => m.b).length >= N),
    { what: () => clients.map((c) => `${c.tenant} ${c.binary} ${c.messages.filter((m) => m.b).length}`).join(', ') });
  await Promise.all(clients.map((c) => c.ping()));
  for (const c of clients) {
    assert.equal(c.sub('h').diffs.length, N);
    assert.ok(c.sub('h').diffs.every((d) => d.data.stream === `${c.tenant}_t|h`), 'only the tenant\'s own diffs');
    const heard = c.messages.filter((m) => m.b).map((m) => m.b);
    assert.equal(heard.length, N);
    assert.ok(heard.every((b) => b.startsWith(c.tenant)), 'only the tenant\'s own broadcasts');
  }
});

test('publishing to everyone needs its permission, joining needs its own', { timeout: 60000 }, async (t) => {
  const s = await stage(t, { sql: false, options: { workers: 1 } });
  const c = s.keep(await Client.open(s.hg.url)), other = s.keep(await Client.open(s.hg.url));
  c.send({ op: 'publish', text: '{"b":1}' });
  assert.equal((await c.message({ op: 'error' })).code, 'forbidden');
  await other.ping();
  assert.ok(!other.messages.some((m) => m.b));
  const none = await stage(t, { sql: false, options: { workers: 1, default_permissions: 'publish' } });
  const d = none.keep(await Client.open(none.hg.url));
  d.send({ op: 'join', room: 'r' });
  assert.equal((await d.message({ op: 'error' })).code, 'forbidden');
});

test('what a client says of tenants, senders and kinds in a message counts nowhere', { timeout: 60000 }, async (t) => {
  const redis = await sharedRedis();
  const s = await stage(t, {
    sql: false, hosts: 2,
    options: { workers: 2, trusted_proxies: '127.0.0.0/8', backplane: 'redis', backplane_url: redis.url, default_permissions: 'join,publish,publish_all' },
  });
  const [victim, far] = [s.keep(await Client.open(s.hosts[0].url, as('globex'))), s.keep(await Client.open(s.hosts[1].url, as('globex')))];
  const [mallory, friend] = [s.keep(await Client.open(s.hosts[0].url, as('acme'))), s.keep(await Client.open(s.hosts[1].url, as('acme')))];
  const idOf = async (c) => (await c.message({ type: 'welcome' })).data.connectionId;
  const claims = { tenant: 'globex', tenantId: 'globex', companyId: 'globex', src: '0011223344556677', from: 'the boss', userId: 'the boss', kind: 'all' };
  for (const c of [victim, far, mallory, friend]) {
    c.send({ op: 'join', room: 'r', ...claims });
    await c.message({ op: 'joined' });
    c.send({ type: 'subscribe', channel: 'files', ...claims });
    await c.message({ status: 'subscribed' });
  }
  const envelope = { src: '0011223344556677', kind: 'all', exclude: null, room: null, path: null, text: '{"b":"inner"}', tenant: 'globex' };
  const said = [
    { op: 'publish', room: 'r', text: '{"b":"room"}', ...claims }, { op: 'publish', path: '/', text: '{"b":"path"}', ...claims }, { op: 'publish', text: '{"b":"all"}', ...claims },
    { op: 'publish', text: JSON.stringify(envelope) }, { op: 'publish', room: 'r","tenant":"globex', text: '{"b":"quoted"}' }, { op: 'publish', room: 'globex\0r', text: '{"b":"nul"}' },
    { op: 'sendTo', id: await idOf(victim), text: '{"b":"id"}', ...claims }, { op: 'sendTo', id: await idOf(far), text: '{"b":"id"}', ...claims },
    { type: 'broadcast', data: 'typed', ...claims }, { type: 'event', channel: 'files', data: {}, ...claims },
  ];
  for (const m of said) mallory.send(m);
  mallory.send({ op: 'publish', text: '{"b":"end"}' });
  await friend.message({ b: 'end' });
  // Behind it on both ways between the hosts: what was meant for globex would be there by now.
  for (const c of [victim, far]) c.send({ op: 'publish', text: '{"b":"own"}' });
  await Promise.all([victim, far].map((c) => waitFor(() => c.messages.filter((m) => m.b === 'own').length === 2, { what: 'their own' })));
  for (const c of [victim, far]) {
    const heard = c.messages.filter((m) => !['welcome'].includes(m.type) && m.op !== 'joined' && m.status === undefined && m.b !== 'own');
    assert.deepEqual(heard, []);
  }
  assert.equal((await friend.message({ type: 'broadcast_message' })).data.from, 'anonymous');
  assert.deepEqual(friend.messages.find((m) => m.kind), envelope, 'a text is handed on as it is');
  assert.ok(!friend.messages.some((m) => m.b === 'inner' || m.b === 'quoted' || m.b === 'nul' || m.b === 'id'));
});
