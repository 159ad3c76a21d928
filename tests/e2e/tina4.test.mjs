// A real tina4 application (tina4-python, from its package) and headgate relay each other's broadcasts, over Redis and over
// NATS, configured by tina4's names alone: to everyone, a path and a room, as text (with what Python escapes) and bytes, without
// the excluded connection, each exactly once at each client of both, and never back again.
// Not tested here: envelopes of other shapes (compat_rooms), the backplane going away (redis_restart, backplane_nats).
import test from 'node:test';
import assert from 'node:assert/strict';
import { Client, clientsOnEachWorker } from '../support/client.mjs';
import { startHeadgate } from '../support/headgate.mjs';
import { ownTopics, sharedKafka } from '../support/kafka.mjs';
import { startNats } from '../support/nats.mjs';
import { ownerOfConnection } from '../support/proc.mjs';
import { startRedis } from '../support/redis.mjs';
import { startTina4 } from '../support/tina4.mjs';
import { waitFor } from '../support/wait.mjs';

const TEXT = 'ü, 😀, "quoted"\n\u2028 and {"json": [1, 2]}';
const BYTES = Buffer.from([0, 0xff, 0x80, 10]);

async function scene(t, carrier) {
  const s = { clients: [] };
  t.after(async () => {
    for (const c of s.clients) c.terminate();
    await s.tina4?.stop();
    if (s.hg?.isRunning()) await s.hg.stop();
    await s.server?.stop();
  });
  s.server = await (carrier === 'nats' ? startNats() : startRedis());
  const topics = await ownTopics((await sharedKafka()).brokers);
  s.hg = await startHeadgate({
    env: { TINA4_WS_BACKPLANE: carrier, TINA4_WS_BACKPLANE_URL: s.server.url },
    options: { ...topics.headgate, workers: 2, default_permissions: 'join,publish,publish_all' },
  });
  await waitFor(async () => (await s.hg.metric('headgate_backplane_up')) >= 1, { what: 'backplane up' });
  s.tina4 = await startTina4(carrier, s.server.url);
  s.open = async (url) => {
    const c = await Client.open(url);
    c.heard = []; // everything that was broadcast, as it came
    c.ws.removeAllListeners('message');
    c.ws.on('message', (data, isBinary) => {
      if (isBinary) c.heard.push(data.toString('hex'));
      else if (/^\{"(op|type|id)"/.test(data.toString())) c.takeText(data.toString());
      else c.heard.push(data.toString());
      c.wake();
    });
    s.clients.push(c);
    return c;
  };
  return s;
}

for (const carrier of ['redis', 'nats']) {
  test(`tina4 and headgate hear each other over ${carrier}: everyone, path, room; text and bytes; each once`, { timeout: 300000 }, async (t) => {
    const s = await scene(t, carrier);
    const spread = [...(await clientsOnEachWorker(s.hg, 1, ownerOfConnection)).values()].flat(); // holds a place on each worker
    for (const c of spread) c.rawBinary = () => {};
    s.clients.push(...spread);
    const h = { chat: [], other: [] };
    for (let i = 0; i < 4; i++) {
      h.chat.push(await s.open(`${s.hg.url}chat?name=${i}`)); // a query is not part of the path
      h.other.push(await s.open(`${s.hg.url}other`));
    }
    for (const c of [...h.chat.slice(0, 2), ...h.other.slice(0, 2)]) {
      c.send({ op: 'join', room: 'r' });
      await c.message({ op: 'joined' });
    }
    const tina = {
      chat: [await s.open(`${s.tina4.url}/chat?room=r`), await s.open(`${s.tina4.url}/chat`)],
      other: [await s.open(`${s.tina4.url}/other?room=r`), await s.open(`${s.tina4.url}/other`)],
    };
    const members = { r: [...h.chat.slice(0, 2), ...h.other.slice(0, 2), tina.chat[0], tina.other[0]], '/chat': [...h.chat, ...tina.chat] };
    const everyone = [...h.chat, ...h.other, ...tina.chat, ...tina.other];
    const idOf = async (c) => (tina.chat.includes(c) || tina.other.includes(c) ? (await c.message((m) => m.id !== undefined)).id : undefined);
    const listed = await Client.open(`${s.hg.url}chat`); // one whose id is known: it is excluded below
    listed.rawBinary = () => {};
    s.clients.push(listed);
    const listedId = (await listed.message({ type: 'welcome' })).data.connectionId;
    const tinaId = await idOf(tina.chat[0]);

    const expected = new Map(everyone.map((c) => [c, []]));
    const heardAll = () => everyone.every((c) => c.heard.length >= expected.get(c).length);
    const step = async (what, send, receivers, message) => {
      for (const c of receivers) expected.get(c).push(message);
      await send();
      await waitFor(heardAll, { what: () => `${what}; heard ${everyone.map((c) => c.heard.length)} of ${everyone.map((c) => expected.get(c).length)}` });
    };
    for (const [form, bytes] of [[{ text: TEXT }, TEXT], [{ b64: BYTES.toString('base64') }, BYTES.toString('hex')]]) {
      const kind = Object.keys(form)[0];
      await step(`tina4 to everyone, ${kind}`, () => s.tina4.say({ to: 'all', ...form }), everyone, bytes);
      await step(`tina4 to a path, ${kind}`, () => s.tina4.say({ to: 'path', name: '/chat', ...form }), members['/chat'], bytes);
      await step(`tina4 to a room, ${kind}`, () => s.tina4.say({ to: 'room', name: 'r', ...form }), members.r, bytes);
      const [sender] = h.other;
      await step(`headgate to everyone, ${kind}`, () => sender.send({ op: 'publish', ...form }), everyone, bytes);
      await step(`headgate to a path, ${kind}`, () => sender.send({ op: 'publish', path: '/chat', ...form }), members['/chat'], bytes);
      await step(`headgate to a room, ${kind}`, () => sender.send({ op: 'publish', room: 'r', ...form }), members.r, bytes);
    }
    // Excluded on the other side.
    await step('headgate without a client of tina4', () => h.other[0].send({ op: 'publish', path: '/chat', text: 'not tina', exclude: [tinaId, listedId] }), members['/chat'].filter((c) => c !== tina.chat[0]), 'not tina');
    await step('tina4 without a client of headgate', () => s.tina4.say({ to: 'path', name: '/chat', text: 'not listed', exclude: listedId }), members['/chat'], 'not listed');
    await step('the last', () => s.tina4.say({ to: 'all', text: 'last' }), everyone, 'last');
    await Promise.all([...h.chat, ...h.other].map((c) => c.ping()));
    for (const c of everyone) assert.deepEqual(c.heard, expected.get(c));
    await waitFor(() => listed.messages.some((m) => m.text === 'last'), { what: 'the last at the excluded one' });
    assert.deepEqual(listed.messages.map((m) => m.text).filter((x) => x?.startsWith('not ')), []);
    assert.equal(await s.hg.metric('headgate_backplane_malformed_total'), 0);
  });
}
