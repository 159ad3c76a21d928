// Promise 8: tenants are walls. With verified tenants (auth = jwt), on two hosts of two workers: neighbours of a tenant, with names as
// near to its name as names can be, try every operation that names something, with names made to meet its keys: separators of
// routing keys, envelopes and the hub, NUL, look-alikes of Unicode, empty, 10 KB. Nothing arrives on the other side, no call
// names another company, and no neighbour is even counted; then a member of the tenant does the same, and everything arrives.
// B-29, B-30 (the claim that opens rpc).
// Not tested here: that tokens are verified (jwt.test.mjs), what each operation answers (its own file).
import test from 'node:test';
import assert from 'node:assert/strict';
import { Client } from '../support/client.mjs';
import { lsnHeader } from '../support/database.mjs';
import { sharedRedis } from '../support/redis.mjs';
import { stage } from '../support/stage.mjs';
import { asHeader, makeKey, sign } from '../support/tokens.mjs';
import { waitFor } from '../support/wait.mjs';

const permissions = ['join', 'publish', 'publish_all'];
const PUBLISH = 'token of back ends';

// The victim is acme. Each of these is a tenant's name that passes.
const neighbours = ['globex', 'Acme', 'acm', 'acme2', 'acme ', ' acme', 'acme.t', 'acme/r', 'acme:r', 'acm\u0435' /* Cyrillic */, '\uff41cme' /* full width */,
  'a\u200bcme' /* zero width */, 'acme\u0301', '%61cme', 'acme%00', '*', 'demo'];

// Names of rooms, channels, paths, tables and hashes: those acme uses, and what could turn into them.
const bait = (name) => [name, `acme|${name}`, `acme_${name}`, `acme\u0000${name}`, `\u0000acme\u0000${name}`, `r\u0000acme\u0000${name}`, `c\u0000acme\u0000${name}`,
  `s\u0000\u0000acme_${name}|h`, `acme/${name}`, `../acme/${name}`, `/acme/${name}`, `acme:${name}`, `acme_t|${name}`, `x|acme_t|${name}`, `${name}\u0000`, ` ${name}`, `${name} `,
  name.replace('r', '\u0433'), '', '*', '%', `${name}\n`, 'x'.repeat(10240)];

async function world(t, options = {}) {
  const redis = await sharedRedis(), key = makeKey('EdDSA');
  const s = await stage(t, {
    hosts: 2, database: { tenant: 'acme', firstLsn: 500000n },
    options: (topics) => ({
      workers: 2, auth: 'jwt', jwt_keys: key.item, backplane: 'redis', backplane_url: redis.url, publish_token: PUBLISH, typed_presence: 'yes', typed_rate: 0,
      max_rooms: 32000, max_subscriptions: 100000, kafka_topics: `${topics.diffs}:diff,${topics.rows}:row`, ...options,
    }),
  });
  let turn = 0;
  s.as = async (tenant, claims = {}, path = '/') => {
    const url = new URL(path, s.hosts[turn++ % 2].url).href;
    const c = s.keep(await Client.open(url, asHeader(await sign(key, { tenant, sub: `user of ${tenant}`, permissions, ...claims }))));
    c.tenant = tenant;
    c.id = (await c.message({ type: 'welcome' })).data.connectionId;
    return c;
  };
  s.publish = async (message, token = PUBLISH) => {
    const r = await fetch(`${s.hg.http}/publish`, { method: 'POST', headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' }, body: JSON.stringify(message) });
    return { status: r.status, ...(await r.json()) };
  };
  return s;
}

/** acme's members: on both hosts, in the room r, the channel files, at the path /p, with the live query t|h. */
async function acmes(s) {
  const list = [];
  for (let i = 0; i < 4; i++) {
    const c = await s.as('acme', {}, '/p');
    c.send({ op: 'join', room: 'r' });
    await c.message({ op: 'joined' });
    c.send({ type: 'subscribe', channel: 'files' });
    await c.message({ status: 'subscribed' });
    await c.subscribe('t', 'h');
    list.push(c);
  }
  for (const c of list) await c.message((m) => m.type === 'welcome' || m.type === 'user_joined');
  return list;
}

/** Whatever a client of one tenant can send that names something of acme's; each holds the mark. */
function* climbs(victim, mark) {
  const text = JSON.stringify({ mark });
  for (const room of bait('r')) {
    yield { op: 'join', room };
    yield { op: 'publish', room, text };
    yield { op: 'publish', room, text, exclude: victim.id, excludeSelf: true, tenant: 'acme' };
    yield { type: 'subscribe', channel: room };
  }
  for (const channel of bait('files')) yield { type: 'subscribe', channel };
  for (const path of [...bait('/p'), '/p?x', '/p/', '//p']) yield { op: 'publish', path, text };
  yield { op: 'publish', text };
  yield { op: 'publish', text, tenant: 'acme', companyId: 'acme' };
  for (const id of [victim.id, victim.id.toUpperCase(), `${victim.id}\u0000`, 'acme', '*', '']) yield { op: 'sendTo', id, text };
  yield { type: 'broadcast', data: { mark }, tenant: 'acme' };
  yield { type: 'broadcast', data: { mark, tenant: 'acme' }, companyId: 'acme' };
  for (const table of bait('t')) yield { op: 'subscribe', table, hashId: 'h', queryJson: '{}', companyId: 'acme', tenant: 'acme' };
  for (const hashId of bait('h')) yield { op: 'subscribe', table: 't', hashId, queryJson: '{}' };
  for (const from of ['0:0:0:0', '1:0:0:500000', `acme_t|h:0:0:0`]) yield { op: 'subscribe', table: 't', hashId: 'h', queryJson: '{}', resume: 'delta', from, frame: 'tagged' };
  yield { op: 'subscribe', table: 't', hashId: 'h', queryJson: '{}', resumeFromVersion: '1' };
  for (const table of bait('t')) yield { op: 'unsubscribe', table, hashId: 'h' };
}

const textOf = (m) => JSON.stringify(m);
const marked = (c, mark) => c.messages.filter((m) => textOf(m).includes(mark));

/** c has heard nothing with this mark. (Not deepEqual: what it prints of thousands of messages takes minutes.) */
function heardNothing(c, mark, what) {
  const [first] = marked(c, mark);
  assert.equal(first && textOf(first), undefined, what);
}

test('no operation reaches another tenant, whatever the names; the same of a member arrives', { timeout: 180000 }, async (t) => {
  const s = await world(t), acme = await acmes(s);
  const others = [];
  for (const tenant of neighbours) others.push(await s.as(tenant, {}, '/p'));
  for (const c of others) {
    for (const message of climbs(acme[others.indexOf(c) % 4], `mark-${others.indexOf(c)}.`)) c.send(message);
  }
  // Answered in order: after the pong everything before it has been dealt with.
  await Promise.all(others.map((c) => c.ping(60000)));

  // Diffs and row events of acme's key, and of keys that neighbours may have subscribed to in vain.
  s.db.commit('t', 'h', 'x', { secret: 'of acme' });
  await s.db.flush();
  await s.db.producer.send({
    topic: s.topics.rows,
    messages: [{ key: 'acme_t|h', value: JSON.stringify({ routingKey: 'acme_t|h', hashId: 'h', lsn: '500002', kind: 'added', pk: 'secret of acme' }), headers: { lsn: lsnHeader(500002n, 'text') } }],
  });
  await waitFor(() => acme.every((c) => c.sub('h').diffs.length === 1 && c.sub('h').events.length === 1), { what: () => `acme's own changes: ${acme.map((c) => `${c.sub('h').diffs.length} ${c.sub('h').events.length}`)}` });

  // The positive control, behind all of it on every way: what a member sends arrives at each member.
  const [first, ...rest] = acme;
  const own = JSON.stringify({ mark: 'own' });
  for (const m of [{ op: 'publish', room: 'r', text: own }, { op: 'publish', path: '/p', text: own }, { op: 'publish', text: own }, { type: 'broadcast', data: { mark: 'own' } }]) first.send(m);
  for (const c of rest) first.send({ op: 'sendTo', id: c.id, text: own });
  assert.equal((await s.publish({ tenant: 'acme', channel: 'files', data: { mark: 'own' } })).status, 200);
  await waitFor(() => rest.every((c) => marked(c, '"own"').length === 6), { what: () => `a member's messages: ${rest.map((c) => marked(c, '"own"').length)}` });

  await Promise.all([...acme, ...others].map((c) => c.ping(60000)));
  for (const c of acme) {
    heardNothing(c, 'mark-', 'acme hears no neighbour');
    assert.ok(c.messages.filter((m) => /^user_/.test(m.type ?? '')).every((m) => m.data.userId === 'user of acme'), 'nor who comes and goes there');
  }
  for (const c of others) {
    const i = others.indexOf(c);
    assert.equal(c.closed, undefined, `${c.tenant} is still connected`);
    assert.equal(c.binary, 0, `${c.tenant} has no diff`);
    assert.ok(c.messages.every((m) => !textOf(m).includes('"own"') && m.op !== 'rowEvent'), `${c.tenant} hears nothing of acme`);
    assert.ok(c.messages.filter((m) => /^user_/.test(m.type ?? '')).every((m) => m.data.userId === `user of ${c.tenant}`), `${c.tenant} sees none of acme come`);
    for (const [j, d] of others.entries()) if (i !== j) heardNothing(c, `mark-${j}.`, `${c.tenant} hears ${d.tenant}`);
    assert.ok(marked(c, `mark-${i}.`).length > 3, `${c.tenant} hears itself`);
  }
  // Every snapshot was asked for in the name of who asked.
  const companies = new Map(s.db.calls.map((call) => [call.companyId, true]));
  assert.deepEqual([...companies.keys()].sort(), [...new Set(['acme', ...neighbours])].sort());
  assert.ok(s.db.calls.filter((call) => call.companyId === 'acme').every((call) => call.tableName === 't' || call.table === 't'), 'and acme\'s only by acme');
});

test('B-30: rpc names the tenant\'s company alone; the claim any_company opens that, and nothing else', { timeout: 90000 }, async (t) => {
  const s = await world(t);
  const c = await s.as('globex'), admin = await s.as('globex', { permissions: [...permissions, 'any_company'] });
  let n = 0;
  const call = async (who, companyId, method = 'GET_DATA') => {
    const correlationId = `c${++n}`;
    who.send({ op: 'rpc', method, table: 't', correlationId, payload: { primaryId: 1, updates: {}, companyId: 'acme' }, ...(companyId === undefined ? {} : { companyId }) });
    return who.message({ op: 'rpcResult', correlationId });
  };
  for (const companyId of ['acme', 'Globex', 'globex ', 'globex\u0000', 'globex|acme', '*', 'glob\u0435x', 'x'.repeat(10240)]) {
    for (const method of ['GET_DATA', 'UPDATE_SINGLE', 'DELETE_ROW']) {
      const r = await call(c, companyId, method);
      assert.deepEqual([r.ok, /^forbidden/.test(r.error)], [false, true], `${companyId.slice(0, 20)}: ${r.error}`);
    }
  }
  assert.equal(s.db.calls.length, 0, 'the worker never heard of it');
  for (const companyId of [undefined, '', 'globex']) {
    assert.equal((await call(c, companyId)).ok, true);
    assert.equal(s.db.calls.at(-1).companyId, 'globex', 'the payload names no company');
  }
  assert.equal((await call(admin, 'acme')).ok, true);
  assert.equal(s.db.calls.at(-1).companyId, 'acme');
  assert.equal((await call(admin)).ok, true);
  assert.equal(s.db.calls.at(-1).companyId, 'globex');
  const before = s.db.calls.length;
  for (const companyId of ['a|b', 'a_b', 'a\u0000b', 'x'.repeat(129)]) assert.match((await call(admin, companyId)).error, /cannot be a tenant/);
  assert.equal(s.db.calls.length, before);
  // The permission is for calls: rooms and live queries stay its tenant's.
  await admin.subscribe('t', 'h', { companyId: 'acme' });
  assert.equal(s.db.calls.at(-1).companyId, 'globex');
});

test('counts are the tenant\'s', { timeout: 60000 }, async (t) => {
  const s = await world(t);
  await acmes(s);
  const a = await s.as('globex'), b = await s.as('globex');
  await waitFor(async () => {
    const seen = [];
    for (const c of [a, b]) {
      const from = c.messages.length;
      c.send({ type: 'get_status' });
      seen.push((await c.message({ type: 'status' }, { from })).data.connectedClients);
    }
    assert.ok(seen.every((n) => n <= 2), `neighbours are counted: ${seen}`);
    return seen.every((n) => n === 2);
  }, { what: 'both hosts to count two' });
  assert.ok(a.messages[0].data.connectedClients <= 2);
});

test('POST /publish reaches the tenant it names, names are checked, and without the token nobody', { timeout: 60000 }, async (t) => {
  const s = await world(t), acme = await acmes(s), other = await s.as('globex', {}, '/p'), demo = await s.as('demo', {}, '/p');
  other.send({ op: 'join', room: 'r' });
  await other.message({ op: 'joined' });
  const targets = (mark) => [{ room: 'r', text: mark }, { path: '/p', text: mark }, { all: true, text: mark }, { channel: 'files', data: { mark } }, { id: acme[0].id, text: mark }];
  for (const tenant of ['globex', 'Acme', 'acme ', 'acm\u0435', 'nobody', undefined]) {
    for (const target of targets('"not for acme"')) assert.equal((await s.publish({ tenant, ...target })).status, 200);
  }
  for (const tenant of ['', 'acme|r', 'ac_me', 'acme\u0000', 'x'.repeat(10240), 7, null, ['acme'], { a: 'acme' }]) {
    for (const target of targets('"not for acme"')) assert.equal((await s.publish({ tenant, ...target })).status, 400, `${JSON.stringify(tenant).slice(0, 30)}`);
  }
  for (const token of ['', 'x', PUBLISH.toUpperCase(), `${PUBLISH} `.repeat(2), 'x'.repeat(4000)]) assert.equal((await s.publish({ tenant: 'acme', room: 'r', text: '"not for acme"' }, token)).status, 401);
  for (const c of acme) c.mark = c.messages.length;
  assert.ok((await s.publish({ tenant: 'acme', room: 'r', text: '"for acme"' })).delivered >= 1);
  await waitFor(() => acme.every((c) => c.messages.some((m) => m.text === '"for acme"')), { what: 'the positive control' });
  await Promise.all([...acme, other, demo].map((c) => c.ping()));
  for (const c of acme) heardNothing(c, 'not for acme', 'acme hears what was for others');
  assert.ok(marked(other, 'not for acme').length >= 3, 'globex has its own');
  assert.ok(marked(demo, 'not for acme').length >= 2, 'who names no tenant speaks to default_tenant');
  for (const c of [other, demo]) heardNothing(c, '\\"for acme', `${c.tenant} hears what was for acme`);
});
