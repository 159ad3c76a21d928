// Row events (spec 3.5, 7.3, C-5): the three shapes byte for byte, numbers beyond 2^53, the version, on all workers of two
// hosts; bad ones are counted and hurt nobody; v1 and v2, which knew none, get none.
// Not tested here: that they wait for the snapshot (live_query, B-10), caps (worker/stream_test).
import test from 'node:test';
import assert from 'node:assert/strict';
import { Client } from '../support/client.mjs';
import { lsnHeader } from '../support/database.mjs';
import { stage } from '../support/stage.mjs';
import { waitFor } from '../support/wait.mjs';

const BIG = '9007199254740993'; // 2^53 + 1, which no double holds
const ENVELOPE = `{"routingKey":"demo_t|h","hashId":"h","lsn":"${BIG}","kind":"modified","pk":"k\\u00e9\\n","pos":3,"from":null,"needFetch":true,`
  + `"row":{"id":${BIG},"n":-${BIG},"f":1.50,"e":1e400,"s":"\\ud83d\\ude00 é","a":[1,[2,{}]],"pk":"inner"},"more":{"x":18446744073709551615}}`;
const FLAT = `"lsn":"${BIG}","kind":"modified","pk":"k\\u00e9\\n","pos":3,"from":null,"needFetch":true,`
  + `"row":{"id":${BIG},"n":-${BIG},"f":1.50,"e":1e400,"s":"\\ud83d\\ude00 é","a":[1,[2,{}]],"pk":"inner"}`;
const HEAD = '{"op":"rowEvent","hashId":"h"';

/** A client that keeps its row events as text. */
async function open(s, url) {
  const c = s.keep(await Client.open(url));
  c.texts = [];
  c.ws.prependListener('message', (data, isBinary) => { if (!isBinary && data.includes('"rowEvent"')) c.texts.push(data.toString()); });
  return c;
}

const send = (s, value, lsn, key = 'any') => s.db.producer.send({ topic: s.topics.rows, messages: [{ key, value, headers: lsn === undefined ? {} : { lsn } }] });

for (const [shape, text] of [
  [undefined, `${HEAD},"event":${ENVELOPE},"version":${BIG}}`],
  ['nested', `${HEAD},"event":${ENVELOPE},"version":${BIG}}`],
  ['flat', `${HEAD},${FLAT}}`],
  ['both', `${HEAD},"event":${ENVELOPE},"version":${BIG},${FLAT}}`],
]) {
  test(`C-5: ROW_EVENT_SHAPE = ${shape}: byte for byte, at the subscribers of all workers of two hosts`, { timeout: 60000 }, async (t) => {
    const s = await stage(t, {
      hosts: 2, options: { workers: 2, profile_paths: '/one=v1,/two=v2,/three=v3' }, env: shape && { ROW_EVENT_SHAPE: shape },
    });
    const clients = [], strangers = [];
    for (let i = 0; i < 8; i++) clients.push(await open(s, new URL(i % 3 ? '/' : '/three', s.hosts[i % 2].url).href));
    for (const c of clients) await c.subscribe('t', 'h');
    for (const path of ['/one', '/two']) strangers.push(await open(s, new URL(path, s.hg.url).href));
    for (const c of strangers) await c.subscribe('t', 'h', { queryJson: undefined, queryFbB64: 'AAAA' });
    strangers.push(await open(s, s.hg.url));
    await strangers.at(-1).subscribe('t', 'hh');
    await send(s, ENVELOPE, lsnHeader(BigInt(BIG), 'binary'));
    for (const c of clients) {
      await c.until(() => c.texts.length === 1, { what: 'the row event' });
      assert.equal(c.texts[0], text);
    }
    // One stream, one log: who is not told gets the next diff all the same.
    s.db.lsn = BigInt(BIG) + 1n;
    s.db.commit('t', 'h', 'x', {});
    await s.db.flush();
    await Promise.all([...clients, ...strangers.slice(0, 2)].map((c) => c.until(() => c.binary === 1)));
    assert.deepEqual(strangers.map((c) => c.texts.length), [0, 0, 0]);
  });
}

test('the version is 0 without a readable LSN; the hashId is the key\'s, else the envelope\'s, else empty', { timeout: 60000 }, async (t) => {
  const s = await stage(t, { options: { workers: 1 } });
  const c = await open(s, s.hg.url);
  for (const h of ['h', 'a|b']) await c.subscribe('t', h);
  const last = async () => {
    const n = c.texts.length;
    await c.until(() => c.texts.length > n, { what: 'a row event' });
    return JSON.parse(c.texts.at(-1));
  };
  for (const [lsn, version] of [[undefined, 0], ['x', 0], ['', 0], ['17', 17], ['0x11', 17], [lsnHeader(5n, 'binary'), 5]]) {
    const next = last();
    await send(s, '{"routingKey":"demo_t|h"}', lsn);
    assert.deepEqual(await next, { op: 'rowEvent', hashId: 'h', event: { routingKey: 'demo_t|h' }, version });
  }
  const next = last();
  await send(s, '{"routingKey":"demo_t|a|b","hashId":"other"}', '18');
  assert.equal((await next).hashId, 'a|b', 'what the client calls it');
});

test('bad row events are counted, warned about and hurt nobody', { timeout: 60000 }, async (t) => {
  const s = await stage(t, { options: { workers: 2 } });
  const c = await open(s, s.hg.url);
  await c.subscribe('t', 'h');
  const deep = `{"routingKey":"demo_t|h","row":${'['.repeat(500)}${']'.repeat(500)}}`;
  const bad = ['', '{', 'null', '5', '[]', '"demo_t|h"', '{}', '{"routingKey":5}', '{"routingKey":null}', '{"routingKey":""}', '{"routingKey":["demo_t|h"]}',
    '{"routingKey":"demo_t|h"} x', deep, Buffer.from('{"routingKey":"demo_t|h","pk":"\xff\xfe"}', 'latin1'), `{"routingKey":"demo_t|${'h'.repeat(5000)}"}`];
  for (const value of bad) await send(s, value, '1');
  await send(s, null, '1'); // no value, no key: skipped, as everywhere
  await send(s, '{"routingKey":"demo_t|h","pk":"no key"}', '1', null);
  await send(s, '{"routingKey":"demo_t|h","pk":"good"}', '2');
  await c.until(() => c.texts.length === 1, { what: 'the good one' });
  assert.equal(JSON.parse(c.texts[0]).event.pk, 'good');
  const metric = (name) => s.hg.metric(`headgate_${name}_total`);
  await waitFor(async () => await metric('row_events_bad') === bad.length, { what: async () => `${bad.length} counted, not ${await metric('row_events_bad')}` });
  assert.equal(await metric('records_no_key'), 2);
  assert.match(s.hg.logText(), /rowevent\.bad/);
  await c.ping();
});
