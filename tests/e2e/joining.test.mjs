// Who joins a room, subscribes to a channel or connects hears what is sent from then on, and nothing that was sent before
// (spec 4, 5, 6), also when it was sent on another worker that this one had no reason to listen to.
// Not tested here: the order of what comes afterwards (broadcast_exactly_once), streams (subscribe_race).
import test from 'node:test';
import assert from 'node:assert/strict';
import { Client, clientsOnEachWorker } from '../support/client.mjs';
import { ownerOfConnection } from '../support/proc.mjs';
import { stage } from '../support/stage.mjs';

const ROUNDS = 12; // each time the sibling's last look at the ring is another while ago

async function pair(t, options = {}) {
  const s = await stage(t, { sql: false, options: { workers: 2, auth: 'trust', ...options } });
  const perWorker = await clientsOnEachWorker(s.hg, 1, ownerOfConnection);
  s.keep([...perWorker.values()].flat());
  const [[, [here]], [pid, [there]]] = [...perWorker];
  /** A connection to the worker of `there`. */
  s.openThere = async (path = '') => {
    for (;;) {
      const c = s.keep(await Client.open(s.hg.url + path));
      if (ownerOfConnection([pid], c.localPort) === pid) return c;
      await c.close();
    }
  };
  return Object.assign(s, { here, there });
}

const texts = (c) => c.messages.map((m) => m.n).filter((n) => n !== undefined);

/** Sends `before`, lets `enter` happen, sends `after`: the one who entered has heard `after` alone. */
async function enters(here, send, enter) {
  for (let i = 0; i < ROUNDS; i++) {
    send(`old ${i}`, i);
    await here.ping();
    const c = await enter(i);
    send(`new ${i}`, i);
    await c.message({ n: `new ${i}` });
    assert.deepEqual(texts(c).filter((n) => !n.includes('new')), [], `round ${i}`);
  }
}

test('a room: nothing from before joined', { timeout: 60000 }, async (t) => {
  const s = await pair(t);
  await enters(s.here, (n, i) => s.here.send({ op: 'publish', room: `r${i}`, text: JSON.stringify({ n }) }), async (i) => {
    s.there.send({ op: 'join', room: `r${i}` });
    await s.there.message({ op: 'joined', room: `r${i}` });
    return s.there;
  });
});

test('a channel: nothing from before subscribed', { timeout: 60000 }, async (t) => {
  const s = await pair(t, { publish_token: 'a-token-of-16-chars' });
  const post = async (n, i) => {
    const a = await fetch(`${s.hg.http}/publish`, { method: 'POST', headers: { authorization: 'Bearer a-token-of-16-chars', connection: 'close' }, body: JSON.stringify({ channel: `c${i}`, data: { n } }) });
    return (await a.json()).delivered;
  };
  for (let i = 0; i < ROUNDS; i++) {
    assert.equal(await post(`old ${i}`, i), 0);
    s.there.send({ type: 'subscribe', channel: `c${i}` });
    await s.there.message((m) => m.status === 'subscribed' && m.channel === `c${i}`);
    assert.equal(await post(`new ${i}`, i), 1);
    const events = () => s.there.messages.filter((m) => m.channel === `c${i}` && !m.status);
    await s.there.until(() => events().length > 0);
    await s.there.ping();
    assert.deepEqual(events().map((m) => m.data.n), [`new ${i}`]);
  }
});

test('a connection: nothing from before its greeting, to all, to its path, or typed', { timeout: 60000 }, async (t) => {
  const s = await pair(t, { default_permissions: 'join,publish,publish_all' });
  await enters(s.here, (n, i) => {
    s.here.send({ op: 'publish', text: JSON.stringify({ n: `all ${n}` }) });
    s.here.send({ type: 'broadcast', data: { n } });
    s.here.send({ op: 'publish', path: `/p${i}`, text: JSON.stringify({ n }) });
  }, async (i) => {
    const c = await s.openThere(`p${i}`);
    await c.message({ type: 'welcome' });
    await c.ping();
    assert.deepEqual(c.messages.map((m) => m.type ?? m.op), ['welcome', 'pong'], 'nothing but what is its own');
    return { messages: c.messages, message: async (m, o) => { await c.message(m, o); await c.ping(); } };
  });
});

test('who comes is told to those who were there, and to nobody who counted him already', { timeout: 60000 }, async (t) => {
  const s = await stage(t, { sql: false, options: { workers: 1, profile: 'v3', auth: 'trust' } });
  for (let round = 0; round < 5; round++) {
    const clients = s.keep(await Promise.all(Array.from({ length: 6 }, () => Client.open(s.hg.url))));
    const welcomes = await Promise.all(clients.map(async (c) => (await c.message({ type: 'welcome' })).data));
    await Promise.all(clients.map((c) => c.ping()));
    for (const [i, c] of clients.entries()) {
      const later = welcomes.filter((w) => w.connectedClients > welcomes[i].connectedClients).map((w) => w.connectionId);
      const told = c.messages.filter((m) => m.type === 'user_joined').map((m) => m.data.connectionId);
      assert.deepEqual(told.sort(), later.sort(), `round ${round}, the client that counted ${welcomes[i].connectedClients}`);
      assert.deepEqual(c.messages.filter((m) => m.type === 'user_left'), []);
    }
    await Promise.all(clients.map((c) => c.close()));
    const last = s.keep(await Client.open(s.hg.url));
    assert.equal((await last.message({ type: 'welcome' })).data.connectedClients, 1);
    await last.ping();
    assert.deepEqual(last.messages.map((m) => m.type ?? m.op), ['welcome', 'pong'], 'nobody left since it came');
    await last.close();
  }
});
