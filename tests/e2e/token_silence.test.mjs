// Neither a token nor a claim nor a key's bytes are found in anything the gateway writes about itself: two hosts that log all they
// can, tokens good and bad in each place they may stand and in places they may not (query, path, fields nobody asked for, requests
// that are none, frames), and sessions that make the gateway warn about them and their streams.
// Not tested here: what is refused, and why (jwt.test.mjs).
import test from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { Client } from '../support/client.mjs';
import { lsnHeader } from '../support/database.mjs';
import { headgate } from '../support/headgate.mjs';
import { exchange, frame, rawWebSocket, TEXT, upgrade } from '../support/http.mjs';
import { sharedRedis } from '../support/redis.mjs';
import { stage } from '../support/stage.mjs';
import { asCookie, asHeader, asProtocol, makeKey, seconds, sign } from '../support/tokens.mjs';
import { waitFor } from '../support/wait.mjs';

const issuer = 'https://issuer-4711.example', PUBLISH = 'publish-4711';
const marks = { tenant: 'tenant-4711', sub: 'user-4711', email: 'mail-4711', permissions: ['join', 'publish', 'perm-4711'], iss: issuer };

/** Everything a host has written or shows of itself. */
async function written(hg) {
  const effective = await headgate(['--config', hg.conf, '--print=effective']);
  const [metrics, status, ready] = await Promise.all(['metrics', 'status', 'readyz'].map(async (p) => (await fetch(`${hg.admin}/${p}`)).text()));
  const titles = hg.workers().map((w) => readFileSync(`/proc/${w.pid}/cmdline`, 'latin1')).join();
  return { log: hg.logText(), metrics, status, ready, titles, effective: effective.stdout + effective.stderr };
}

test('neither token nor claims nor secrets are in the log, the metrics, the status or a process title', { timeout: 120000 }, async (t) => {
  const redis = await sharedRedis();
  const key = makeKey('HS256'), rsa = makeKey('RS256', { kid: 'key-name-0815' });
  const s = await stage(t, {
    hosts: 2, expectErrors: [/./],
    options: {
      workers: 1, auth: 'jwt', jwt_keys: `${key.item},${rsa.item}`, jwt_issuer: issuer, jwt_leeway: '0', jwt_cookie: 'session', allowed_origins: 'https://app.example',
      log_level: 'debug', backplane: 'redis', backplane_url: redis.url, publish_token: PUBLISH, trusted_proxies: '127.0.0.0/8', max_message: '4k', control_rate: 5,
    },
  });
  const headers = { origin: 'https://app.example' }, tokens = [];
  const fresh = async (claims = {}, k = key) => {
    tokens.push(await sign(k, { ...marks, ...claims }));
    return tokens.at(-1);
  };
  const open = async (how, url = s.hg.url) => s.keep(await Client.open(url, { ...how, headers: { ...headers, ...how.headers } }));
  const logs = (re, hg = s.hg) => waitFor(() => re.test(hg.logText()), { what: `${re} in the log` });

  // Refused ones, in each place.
  for (const how of [asHeader, asProtocol, asCookie]) {
    const good = await fresh();
    const bad = [await fresh({ exp: 1 }), await fresh({ nbf: seconds() + 999 }), await fresh({ iss: 'evil-4711' }, rsa), await fresh({ aud: 'audience-4711' }), await fresh({}, makeKey('HS256')),
      await fresh({ tenant: 'tenant_4711' }), `${good}x`, `.${good}`, good.slice(0, -9)];
    tokens.push(...bad.slice(-3));
    for (const token of bad) await assert.rejects(open(how(token)), /401/);
  }
  await logs(/identity\.refused/);

  // Where no token belongs, on an upgrade that is refused, one that passes, and requests that are none.
  const stray = await fresh(), good = await fresh();
  const requests = [
    upgrade({ path: `/?token=${stray}`, headers: { Origin: headers.origin } }),
    upgrade({ path: `/${stray}?access_token=${stray}`, headers: { Origin: headers.origin, Authorization: `Bearer ${good}` } }),
    upgrade({ headers: { Origin: headers.origin, Authorization: [`Bearer ${stray}`, `Bearer ${good}`] } }),
    upgrade({ headers: { Origin: `https://${stray}.example`, Authorization: `Bearer ${stray}` } }),
    upgrade({ headers: { Authorization: `Bearer ${stray}`, 'Sec-WebSocket-Key': stray } }),
    upgrade({ headers: { Authorization: `Bearer ${stray}`, 'Sec-WebSocket-Version': '8', 'x-tenant': marks.tenant, 'x-user-id': marks.sub } }),
    `GET /${stray} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${stray}\r\n\r\n`,
    `GET /\u0001 HTTP/1.1\r\nAuthorization: Bearer ${stray}\r\n\r\n`,
    `${stray}\r\n\r\n`,
    `POST /publish HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${stray}\r\nContent-Length: 2\r\n\r\n{}`,
    `GET / HTTP/1.1\r\nHost: a\r\nx: ${`${stray}`.repeat(40)}\r\n\r\n`,
  ];
  for (const text of requests) await exchange(s.hg.url, text, { head: true });

  // A session that does what the gateway warns about; its changes are reset; it ends in each way.
  const c = await open(asHeader(await fresh())), far = await open(asProtocol(await fresh()), s.hosts[1].url);
  const text = JSON.stringify({ mark: await fresh() });
  for (const x of [c, far]) {
    await x.subscribe('t', 'h');
    for (const m of [{ op: 'join', room: 'r' }, { op: 'publish', room: 'r', text }, { op: 'publish', text }, { op: 'sendTo', id: 'x', text }, { type: 'broadcast', data: text },
      { op: 'rpc', method: 'GET_DATA', table: 't', companyId: 'other-4711' }, { op: 'rpc', method: 'GET_DATA', table: 't', payload: {} }, { op: tokens[0] }, '{', tokens[0],
      { op: 'subscribe', table: 'a|b', hashId: tokens[0], queryJson: '{}' }, { op: 'subscribe', table: 't', hashId: 'q', queryJson: `{"${tokens[0]}":` }]) x.send(m);
    x.send({ op: 'subscribe', table: 't', hashId: 'h', queryJson: '{"limit":7}' });
    await x.ping();
  }
  await c.until(() => c.sub('h').snapshots.length === 2);
  const second = await open(asHeader(await fresh()));
  await second.subscribe('t', 'h');
  await logs(/stream\.two_queries stream="t\|h"/);
  const send = (lsn, n) => s.db.producer.send({
    topic: s.topics.diffs, messages: [{ key: `${marks.tenant}_t|h`, value: JSON.stringify({ stream: `${marks.tenant}_t|h`, lsn: String(lsn), n }), headers: { lsn: lsnHeader(lsn, 'text') } }],
  });
  await send(900010n, 1);
  await c.until(() => c.sub('h').diffs.length === 1, { what: 'a diff' });
  await send(900005n, 2);
  for (const hg of s.hosts) await logs(/stream\.reset stream="t\|h" why=disorder/, hg);
  const publish = (body, token = PUBLISH) => fetch(`${s.hg.http}/publish`, { method: 'POST', headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' }, body: JSON.stringify(body) });
  assert.equal((await publish({ tenant: marks.tenant, room: 'r', text })).status, 200);
  assert.equal((await publish({ tenant: marks.tenant, room: 'r', text }, tokens[0])).status, 401);
  assert.equal((await publish({ tenant: marks.tenant, room: 7, text })).status, 400);
  for (let i = 0; i < 20; i++) second.ws.ping(tokens[0].slice(0, 100));
  assert.equal((await second.whenClosed()).code, 1008, 'a flood');
  c.send('x'.repeat(5000));
  assert.equal((await c.whenClosed()).code, 1009);
  far.ws.close(4000, `${marks.tenant} ${marks.sub}`);
  await far.whenClosed();
  const odd = await rawWebSocket(s.hg.url, { headers: { Origin: headers.origin, Authorization: `Bearer ${await fresh()}` } });
  await odd.write(frame(TEXT, Buffer.from(`\xff${tokens[0]}`, 'latin1')));
  await odd.whenEnded();
  assert.equal((await (await open(asCookie(await fresh({ exp: seconds() + 2 })))).whenClosed()).reason, 'token expired');

  for (const hg of s.hosts) {
    for (const [place, shown] of Object.entries(await written(hg))) {
      assert.ok(shown.length > 0, place);
      const option = place === 'effective' ? [] : [issuer]; // there it is an option
      for (const secret of [...tokens.flatMap((x) => x.split('.')).filter((x) => x.length > 8), key.secret, Buffer.from(key.secret).toString('hex'),
        marks.tenant, 'tenant_4711', marks.sub, marks.email, 'perm-4711', 'evil-4711', 'audience-4711', 'other-4711', PUBLISH, ...option]) {
        assert.ok(!shown.includes(secret), `${secret.slice(0, 20)} is in the ${place}: ${shown.slice(Math.max(0, shown.indexOf(secret) - 100)).slice(0, 200)}`);
      }
    }
  }
});
