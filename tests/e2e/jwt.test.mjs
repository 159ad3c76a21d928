// auth = jwt: nobody is believed without a signature (B-29). Each algorithm in each place a token may stand; the algorithm is
// the key's, never the token's; times, audience, issuer, tenant; keys rotated by HUP; sessions end with their token.
// Not tested here: what the gateway writes about all that (token_silence.test.mjs); walls between tenants (tenant_walls.test.mjs).
import test from 'node:test';
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { generateKeyPairSync } from 'node:crypto';
import path from 'node:path';
import { startBrowser } from '../support/browser.mjs';
import { Client } from '../support/client.mjs';
import { headgate } from '../support/headgate.mjs';
import { exchange, upgrade } from '../support/http.mjs';
import { tempDir } from '../support/proc.mjs';
import { stage } from '../support/stage.mjs';
import { algorithms, asCookie, asHeader, asProtocol, forge, hmac, makeKey, seconds, sign } from '../support/tokens.mjs';
import { waitFor } from '../support/wait.mjs';

const origin = 'https://app.example';
const open = (s, how, url = s.hg.url) => Client.open(url, { ...how, headers: { origin, ...how.headers } }).then((c) => s.keep(c));

/** A gateway without a SQL worker that accepts tokens of these keys. */
const gate = (t, keys, options = {}, more = {}) => stage(t, {
  sql: false, ...more, options: { workers: 1, auth: 'jwt', jwt_keys: keys.map((k) => k.item).join(','), ...options },
});

/** The name by which others know this client: what a typed broadcast says. */
async function userOf(c) {
  const from = c.messages.length;
  c.send({ type: 'broadcast', data: 1 });
  return (await c.message({ type: 'broadcast_message' }, { from })).data.from;
}

/** The answer to a handshake with this token (or these headers), as bytes have it. */
const attempt = (s, token, headers = {}) => exchange(s.hg.url, upgrade({
  headers: { ...(token === undefined ? {} : { Authorization: `Bearer ${token}` }), ...headers },
}));

const reasons = (s) => s.hg.logText().split('\n').filter((l) => / identity\.refused /.test(l)).map((l) => /why="([^"]*)"/.exec(l)[1]);

/** Each row [token, reason] is refused with the same answer, and only the log has the reason. At most ten: the log is limited. */
async function refusesAll(s, rows) {
  assert.ok(rows.length <= 10);
  for (const [i, [token, why, headers]] of rows.entries()) {
    const a = await attempt(s, token, headers);
    assert.equal(a.status, 401, `${why}: ${a.status} ${a.body}`);
    assert.equal(a.headers['www-authenticate'], 'Bearer', 'a challenge without a reason');
    assert.equal(a.body, 'Identity refused (401).\n', `the answer says nothing: ${why}`);
    await waitFor(() => reasons(s).length === i + 1, { what: `a line of the log for: ${why}` });
    assert.match(reasons(s)[i], why);
  }
  assert.equal(await s.hg.metric('headgate_tokens_refused_total'), rows.length);
}

test('B-29: each algorithm, in the Authorization header, the bearer subprotocol and the cookie', { timeout: 120000 }, async (t) => {
  const keys = algorithms.map((alg) => makeKey(alg, { kid: `k-${alg}` }));
  const s = await gate(t, keys, { jwt_cookie: 'session', allowed_origins: origin }, { sql: {} });
  for (const key of keys) {
    for (const how of [asHeader, asProtocol, asCookie]) {
      const c = await open(s, how(await sign(key, { sub: `${key.alg} ${how.name}`, tenant: `t-${key.alg}` })));
      assert.equal(c.ws.protocol, how === asProtocol ? 'headgate' : '', 'a token is never echoed');
      await c.message({ type: 'welcome' });
      assert.equal(await userOf(c), `${key.alg} ${how.name}`);
      await c.subscribe('t', `${key.alg}${how.name}`);
      assert.equal(s.db.calls.at(-1).companyId, `t-${key.alg}`);
    }
  }
});

test('the header counts before the subprotocol, that before the cookie; a bad one is not passed over', { timeout: 60000 }, async (t) => {
  const key = makeKey('ES256'), s = await gate(t, [key], { jwt_cookie: 'session', allowed_origins: origin });
  const [a, b, d] = await Promise.all(['a', 'b', 'd'].map((sub) => sign(key, { sub })));
  const all = (x, y, z) => ({ protocols: ['headgate', `bearer.${y}`], headers: { authorization: `Bearer ${x}`, cookie: `session=${z}` } });
  assert.equal(await userOf(await open(s, all(a, b, d))), 'a');
  assert.equal(await userOf(await open(s, { protocols: ['headgate', `bearer.${b}`], headers: { cookie: `session=${d}` } })), 'b');
  assert.equal(await userOf(await open(s, { headers: { authorization: 'Basic eDp5', cookie: `session=${d}` } })), 'd', 'a proxy\'s own Authorization is none');
  await assert.rejects(open(s, all('x.y.z', b, d)), /401/);
  await assert.rejects(open(s, { headers: { cookie: `session=${d}; session=${a}` } }), /401/, 'two cookies of the name');
  await assert.rejects(open(s, { headers: { cookie: `xsession=${d}` } }), /401/);
  // A v1 client offers nothing but the token: it is not sent back, even so.
  const r = await exchange(s.hg.url, upgrade({ headers: { Origin: origin, 'Sec-WebSocket-Protocol': `bearer.${a}` } }), { head: true });
  assert.equal(r.status, 101);
  assert.equal(r.headers['sec-websocket-protocol'], undefined);
});

test('B-29: headers name nobody under auth = jwt, not even from a trusted proxy', { timeout: 60000 }, async (t) => {
  const key = makeKey('EdDSA'), s = await gate(t, [key], { trusted_proxies: '127.0.0.0/8' }, { sql: {} });
  const c = await open(s, { headers: { ...asHeader(await sign(key)).headers, 'x-tenant': 'globex', 'x-user-id': 'root' } });
  assert.equal(await userOf(c), 'alice');
  await c.subscribe('t', 'h');
  assert.equal(s.db.calls.at(-1).companyId, 'acme');
  assert.equal((await attempt(s, undefined, { 'x-tenant': 'globex' })).status, 401);
});

test('the algorithm is the key\'s: none, HS/RS confusion, other keys and changed bytes are refused', { timeout: 60000 }, async (t) => {
  const rsa = makeKey('RS256', { kid: 'r' }), ec = makeKey('ES256'), s = await gate(t, [rsa, ec]);
  const claims = { tenant: 'acme', sub: 'mallory', exp: seconds() + 60 };
  const good = await sign(rsa), [h, p, sig] = good.split('.');
  assert.equal((await exchange(s.hg.url, upgrade({ headers: { Authorization: `Bearer ${good}` } }), { head: true })).status, 101, 'the good one passes');
  const other = makeKey('RS256', { kid: 'r' });
  const swapped = JSON.parse(Buffer.from(p, 'base64url'));
  swapped.tenant = 'globex';
  await refusesAll(s, [
    [forge({ alg: 'none' }, claims), /no signature/],
    [forge({ alg: 'none' }, claims, () => Buffer.from('x')), /alg/],
    [forge({ alg: 'HS256', kid: 'r' }, claims, hmac(rsa.publicPem)), /alg/],
    [forge({ alg: 'ES256', kid: 'r' }, claims, hmac(rsa.publicPem)), /signature/],
    [await sign(other), /signature/],
    [await sign(other, {}, { kid: 'unknown' }), /kid/],
    [`${h}.${Buffer.from(JSON.stringify(swapped)).toString('base64url')}.${sig}`, /signature/],
    [`${h}.${p}.${sig.slice(0, -4)}`, /signature/],
    [await sign(rsa, {}, { crit: ['x'], x: 1 }), /crit/],
    [undefined, /no token/],
  ]);
});

test('kid chooses among keys, and is a name: neither a path, nor a prefix, nor another algorithm\'s', { timeout: 60000 }, async (t) => {
  const dirs = [0, 1, 2].map(() => tempDir('keys'));
  const a = makeKey('HS256', { kid: 'a', dir: dirs[0] }), b = makeKey('HS256', { kid: 'b', dir: dirs[1] }), ec = makeKey('ES256', { kid: 'c', dir: dirs[2] });
  const s = await gate(t, [a, b, ec]);
  for (const token of [await sign(b), await sign(b, {}, { kid: undefined }), await sign(ec, {}, { kid: undefined })]) await open(s, asHeader(token));
  await refusesAll(s, [
    [await sign(b, {}, { kid: 'a' }), /^signature$/],
    [await sign(a, {}, { kid: 'c' }), /^kid/],
    [await sign(a, {}, { kid: 'A' }), /^kid/],
    [await sign(a, {}, { kid: 'a ' }), /^kid/],
    [await sign(a, {}, { kid: '' }), /^kid/],
    [forge({ alg: 'HS256', kid: '/dev/null' }, { tenant: 'acme', exp: seconds() + 60 }, hmac('')), /^kid/],
    [forge({ alg: 'HS256', kid: `../../../..${ec.file}` }, { tenant: 'acme', exp: seconds() + 60 }, hmac(ec.publicPem)), /^kid/],
    [forge({ alg: 'HS256', kid: ['a'] }, { tenant: 'acme', exp: seconds() + 60 }, hmac(a.secret)), /kid/],
    [forge('{"alg":"HS256","kid":"a","kid":"b"}', { tenant: 'acme', exp: seconds() + 60 }, hmac(a.secret)), /kid/],
    [forge({ alg: 'HS256', jwk: { kty: 'oct', k: 'eA' }, jku: 'http://127.0.0.1:1/' }, { tenant: 'acme', exp: seconds() + 60 }, hmac('x')), /^signature$/],
  ]);
});

test('two tokens in one place are refused, even when both are good', { timeout: 60000 }, async (t) => {
  const key = makeKey('HS256'), s = await gate(t, [key], { jwt_cookie: 'session', allowed_origins: origin });
  const [a, b] = [await sign(key), await sign(key, { tenant: 'globex' })], Origin = origin;
  assert.equal((await exchange(s.hg.url, upgrade({ headers: { Origin, authorization: `bEARER ${a}` } }), { head: true })).status, 101, 'a scheme has no case');
  await refusesAll(s, [
    [undefined, /two tokens/, { Origin, Authorization: [`Bearer ${a}`, `Bearer ${b}`] }],
    [undefined, /two tokens/, { Origin, Authorization: [`Bearer ${a}`, `Bearer ${a}`] }],
    [undefined, /two tokens/, { Origin, Authorization: ['Basic eDp5', `Bearer ${a}`] }],
    [undefined, /two tokens/, { Origin, Authorization: [`Bearer ${a}`, 'Basic eDp5'] }],
    [undefined, /two tokens/, { Origin, Authorization: ['', ''], Cookie: `session=${a}` }],
    [undefined, /two tokens/, { Origin, 'Sec-WebSocket-Protocol': `headgate, bearer.${a}, bearer.${b}` }],
    [undefined, /two tokens/, { Origin, 'Sec-WebSocket-Protocol': [`bearer.${a}`, `headgate, bearer.${b}`] }],
    [undefined, /two tokens/, { Origin, Cookie: [`session=${a}`, `session=${b}`] }],
    [undefined, /malformed/, { Origin, Authorization: `Bearer ${a}, Bearer ${b}` }],
    [undefined, /malformed/, { Origin, 'Sec-WebSocket-Protocol': 'headgate, bearer.', Cookie: `session=${a}` }],
  ]);
});

test('malformed tokens with good signatures: bytes, sizes, twins, halves of characters', { timeout: 60000 }, async (t) => {
  const key = makeKey('HS256'), s = await gate(t, [key]), exp = seconds() + 60;
  const raw = (claims) => forge({ alg: 'HS256' }, claims, hmac(key.secret));
  const good = raw(`{"tenant":"acme","exp":${exp}}`), [h, p, sig] = good.split('.');
  await open(s, asHeader(good));
  await open(s, asHeader(raw(`{"tenant":"\\ud83d\\ude00","exp":${exp}}`)));
  await refusesAll(s, [
    [raw(`{"tenant":"acme","exp":${exp},"x":"${'x'.repeat(8192)}"}`), /too large/],
    [raw(Buffer.from(`{"tenant":"a\xff","exp":${exp}}`, 'latin1')), /JSON/],
    [raw(`{"tenant":"acme","tenant":"globex","exp":${exp}}`), /tenant/],
    [raw(`{"tenant":"acme","te\\u006eant":"globex","exp":${exp}}`), /tenant/],
    [raw(`{"tenant":"acme\\ud800","exp":${exp}}`), /tenant/],
    [raw(`{"tenant":"acme","exp":${exp}}{}`), /JSON/],
    [`${h}.${p}.${sig}=`, /base64url/],
    [`${h}.${p}.${sig.replace(/.$/, '!')}`, /base64url/],
    [`${h}=.${p}.${sig}`, /base64url/],
    [`${h}.${p}.${sig}.${sig}`, /base64url/],
  ]);
});

test('exp and nbf within and after the leeway; times that are none', { timeout: 60000 }, async (t) => {
  const key = makeKey('HS256'), s = await gate(t, [key], { jwt_leeway: '30s', jwt_close_on_exp: 'no' });
  const now = seconds();
  for (const claims of [{ exp: now - 10 }, { nbf: now + 10 }, { nbf: now - 5, exp: now + 0.5 }, { exp: 99999999999 }]) {
    await open(s, asHeader(await sign(key, claims)));
  }
  const raw = (text) => forge({ alg: 'HS256' }, text, hmac(key.secret));
  await refusesAll(s, [
    [await sign(key, { exp: now - 60 }), /^expired$/],
    [await sign(key, { nbf: now + 600 }), /not valid yet/],
    [await sign(key, { exp: undefined }), /no exp/],
    [raw(`{"tenant":"acme","exp":"${now + 60}"}`), /exp/],
    [raw('{"tenant":"acme","exp":1e309}'), /exp|JSON/],
    [raw('{"tenant":"acme","exp":-1}'), /^expired$/],
    [raw('{"tenant":"acme","exp":null}'), /exp/],
    [raw(`{"tenant":"acme","exp":1,"exp":${now + 60}}`), /exp/],
    [raw(`{"tenant":"acme","exp":${now + 60},"nbf":"now"}`), /nbf/],
  ]);
});

test('aud and iss: a string, one of a list, none', { timeout: 60000 }, async (t) => {
  const key = makeKey('ES256');
  const s = await gate(t, [key], { jwt_audience: 'live, headgate', jwt_issuer: 'https://id.example' });
  const iss = 'https://id.example';
  for (const aud of ['live', ['other', 'headgate']]) await open(s, asHeader(await sign(key, { iss, aud })));
  await refusesAll(s, [
    [await sign(key, { iss }), /aud/],
    [await sign(key, { iss, aud: 'other' }), /aud/],
    [await sign(key, { iss, aud: ['a', 'liv', 'live '] }), /aud/],
    [await sign(key, { iss, aud: { live: 1 } }), /aud/],
    [await sign(key, { aud: 'live' }), /iss/],
    [await sign(key, { aud: 'live', iss: 'https://id.example/' }), /iss/],
    [await sign(key, { aud: 'live', iss: [iss] }), /iss/],
  ]);
  const bare = await gate(t, [key]);
  await refusesAll(bare, [[await sign(key, { aud: 'other' }), /jwt_audience is empty/]]);
});

test('tenant, user and permissions come from named claims; names that cannot be are refused', { timeout: 60000 }, async (t) => {
  const key = makeKey('EdDSA'), s = await gate(t, [key], {
    jwt_tenant_claim: 'org.id', jwt_user_claim: 'https://app.example/name', jwt_permissions_claim: 'scope', default_permissions: 'join',
  }, { sql: {} });
  const token = (more) => sign(key, { tenant: undefined, org: { id: 'acme' }, 'https://app.example/name': 'Zoë', ...more });
  const may = async (scope) => {
    const c = await open(s, asHeader(await token({ scope })));
    const said = [];
    for (const m of [{ op: 'join', room: 'r' }, { op: 'publish', room: 'r', text: '{"t":1}' }, { op: 'publish', text: '{"t":2}' }]) {
      const from = c.messages.length;
      c.send(m);
      c.send({ op: 'ping' });
      await c.message({ op: 'pong' }, { from });
      said.push(c.messages.slice(from).some((x) => x.code === 'forbidden') ? '-' : '+');
    }
    return said.join('');
  };
  const c = await open(s, asHeader(await token()));
  assert.equal(await userOf(c), 'Zoë');
  await c.subscribe('t', 'h');
  assert.equal(s.db.calls.at(-1).companyId, 'acme');
  assert.equal(await may(undefined), '+--', 'default_permissions');
  assert.equal(await may('openid publish  email'), '-+-', 'a string with blanks; what is unknown is passed over');
  assert.equal(await may(['join', 'publish_all', 7, 'admin']), '+-+', 'an array');
  assert.equal(await may(''), '---', 'a claim that grants nothing');
  assert.equal(await may([]), '---');
  await refusesAll(s, [
    [await sign(key), /no tenant/],
    [await token({ org: { id: '' } }), /empty/],
    [await token({ org: { id: 'a_b' } }), /_/],
    [await token({ org: { id: 'a|b' } }), /\|/],
    [await token({ org: { id: 'a\u0000b' } }), /control/],
    [await token({ org: { id: 'x'.repeat(200) } }), /too long/],
    [await token({ org: { id: ['acme'] } }), /tenant/],
    [await token({ 'https://app.example/name': 'a\nb' }), /user/],
    [await token({ 'https://app.example/name': 'u'.repeat(257) }), /user/],
    [await token({ scope: { join: true } }), /permissions/],
  ]);
});

test('keys are rotated by HUP: a new kid, then the old one gone, then other bytes in the same file', { timeout: 90000 }, async (t) => {
  const dir = tempDir('keys'), one = makeKey('ES256', { kid: '1', dir, name: '1' }), two = makeKey('ES256', { kid: '2', dir, name: '2' });
  const s = await gate(t, [one], { workers: 2 }, { expectErrors: [/reload/, /worker\.died/] });
  const status = async (token) => (await exchange(s.hg.url, upgrade({ headers: { Authorization: `Bearer ${token}` } }), { head: true })).status;
  // Several in a row, so that both workers are asked.
  const all = async (token, want) => {
    for (let i = 0; i < 8; i++) if (await status(token) !== want) return false;
    return true;
  };
  const hup = async (keys, tokens) => {
    s.hg.rewrite({ jwt_keys: keys.map((k) => k.item).join(',') });
    s.hg.signal('SIGHUP');
    await waitFor(async () => {
      for (const [token, want] of tokens) if (!await all(token, want)) return false;
      return true;
    }, { what: `after HUP with keys ${keys.map((k) => k.kid)}` });
  };
  const a = await sign(one), b = await sign(two), c = await open(s, asHeader(a));
  assert.ok(await all(a, 101) && await all(b, 401));
  await hup([one, two], [[a, 101], [b, 101]]);
  await hup([two], [[a, 401], [b, 101]]);
  await c.ping(); // a session lives on with the key it came by

  const three = makeKey('ES256', { kid: '2', dir, name: '2' }); // the same file
  const d = await sign(three);
  await hup([three], [[b, 401], [d, 101]]);

  // A worker made now has the keys of now.
  const [victim] = s.hg.workers();
  process.kill(victim.pid, 'SIGKILL');
  await waitFor(() => s.hg.workers().length === 2 && s.hg.workers().every((w) => w.pid !== victim.pid), { what: 'its successor' });
  assert.ok(await all(d, 101) && await all(b, 401));

  // A file that is no key changes nothing.
  writeFileSync(three.file, 'no key\n');
  const before = s.hg.logText().length;
  s.hg.signal('SIGHUP');
  await waitFor(() => /nothing was changed/.test(s.hg.logText().slice(before)), { what: 'the refusal' });
  assert.match(s.hg.logText().slice(before), /jwt_keys: \S+: no public key/);
  assert.ok(await all(d, 101));
});

test('auth = headers in a reloaded file keeps the keys of a gateway that runs with jwt', { timeout: 60000 }, async (t) => {
  const key = makeKey('HS256'), s = await gate(t, [key], { jwt_cookie: 'session', allowed_origins: origin });
  s.hg.rewrite({ auth: 'headers', allowed_origins: '' });
  s.hg.signal('SIGHUP');
  await waitFor(() => /auth: needs a restart/.test(s.hg.logText()) && /conf\.live/.test(s.hg.logText()), { what: 'the reload' });
  const token = await sign(key);
  assert.equal((await attempt(s, undefined)).status, 401);
  await open(s, asHeader(token));
  assert.equal((await attempt(s, undefined, { Cookie: `session=${token}` })).status, 401, 'no cookie without a list of origins');
});

test('a session ends with its token, 1008 "token expired", unless jwt_close_on_exp = no', { timeout: 60000 }, async (t) => {
  const key = makeKey('EdDSA'), s = await gate(t, [key], { jwt_leeway: '0' });
  const soon = async () => sign(key, { exp: seconds() + 2 });
  const token = await soon();
  const c = await open(s, asHeader(token)), long = await open(s, asHeader(await sign(key)));
  assert.deepEqual(await c.whenClosed(), { code: 1008, reason: 'token expired' });
  assert.ok(Date.now() / 1000 >= JSON.parse(Buffer.from(token.split('.')[1], 'base64url')).exp, 'not before');
  await long.ping();
  assert.equal(await s.hg.metric('headgate_connections'), 1);

  s.hg.rewrite({ jwt_close_on_exp: 'no' });
  s.hg.signal('SIGHUP');
  await waitFor(() => /conf\.live/.test(s.hg.logText()), { what: 'the reload' });
  const next = await soon(), kept = await open(s, asHeader(next));
  await waitFor(async () => (await attempt(s, next)).status === 401, { what: 'the token to expire' });
  // The tick that would have closed it is at most half a second behind the token's end: watch one that is.
  s.hg.rewrite({ jwt_close_on_exp: 'yes' });
  s.hg.signal('SIGHUP');
  await waitFor(() => s.hg.logText().match(/conf\.live/g).length === 2, { what: 'the reload' });
  assert.equal((await (await open(s, asHeader(await soon()))).whenClosed()).code, 1008);
  await kept.ping();
});

test('what would make the wall thin is refused at start, and --check says so', { timeout: 60000 }, async () => {
  const dir = tempDir('keys'), file = (name, text) => { writeFileSync(path.join(dir, name), text); return path.join(dir, name); };
  const pem = (pair) => pair.publicKey.export({ type: 'spki', format: 'pem' });
  const ec = makeKey('ES256'), hs = makeKey('HS256');
  const rows = [
    [[], /auth = jwt needs jwt_keys/],
    [['--jwt-keys', 'none:/x'], /items are ALG:file/],
    [['--jwt-keys', 'RS256'], /items are ALG:file/],
    [['--jwt-keys', `HS256:${dir}/absent`], /No such file/],
    [['--jwt-keys', `HS256:${file('short', 'short secret\n')}`], /less than 32 bytes/],
    [['--jwt-keys', `HS256:${file('empty', '')}`], /empty/],
    [['--jwt-keys', `HS256:${ec.file}`], /a PEM file is no secret/],
    [['--jwt-keys', `ES256:${file('private', ec.privatePem)}`], /a private key/],
    [['--jwt-keys', `RS256:${ec.file}`], /no RSA key/],
    [['--jwt-keys', `EdDSA:${ec.file}`], /no Ed25519 key/],
    [['--jwt-keys', `ES256:${file('p384', pem(generateKeyPairSync('ec', { namedCurve: 'P-384' })))}`], /P-256/],
    [['--jwt-keys', `RS256:${file('small', pem(generateKeyPairSync('rsa', { modulusLength: 1024 })))}`], /2048/],
    [['--jwt-keys', hs.item, '--jwt-cookie', 'session'], /jwt_cookie needs allowed_origins/],
    [['--jwt-keys', hs.item, '--jwt-cookie', 'a;b', '--allowed-origins', origin], /cookie's name/],
  ];
  for (const [args, want] of rows) {
    const r = await headgate(['--check', '--auth', 'jwt', ...args]);
    assert.equal(r.code, 2, `${args}: ${r.stderr}`);
    assert.match(r.stderr, want);
    assert.doesNotMatch(r.stderr, /short secret|BEGIN/);
  }
  assert.equal((await headgate(['--check', '--auth', 'jwt', '--jwt-keys', `${hs.item},a=b=${ec.item}`])).code, 2);
  const good = await headgate(['--check', '--auth', 'jwt', '--jwt-keys', `${hs.item},urn:x:1=${ec.item}`]);
  assert.equal(good.code, 0, good.stderr);
});

test('a browser: the bearer subprotocol, the cookie of its own site, and not from another', { timeout: 120000 }, async (t) => {
  const key = makeKey('ES256'), token = await sign(key);
  const sites = [];
  for (let i = 0; i < 2; i++) {
    const site = createServer((req, res) => res.writeHead(200, { 'content-type': 'text/html', 'set-cookie': `session=${token}; HttpOnly; SameSite=Lax` }).end('<p>a page'));
    await once(site.listen(0, '127.0.0.1'), 'listening');
    sites.push(`http://127.0.0.1:${site.address().port}`);
    t.after(() => { site.closeAllConnections(); site.close(); });
  }
  const s = await gate(t, [key], { jwt_cookie: 'session', allowed_origins: sites[0] });
  const browser = await startBrowser(t);
  const connect = (page, protocols) => page.evaluate(([url, list]) => new Promise((resolve) => {
    const ws = new WebSocket(url, list);
    ws.onclose = (e) => resolve({ closed: e.code });
    ws.onopen = () => ws.send('{"type":"broadcast"}');
    ws.onmessage = (e) => { const m = JSON.parse(e.data); if (m.type === 'broadcast_message') resolve({ user: m.data.from, protocol: ws.protocol }); };
  }), [s.hg.url, protocols]);
  const own = await browser.page(sites[0]);
  assert.deepEqual(await connect(own, []), { user: 'alice', protocol: '' }, 'by the cookie');
  assert.deepEqual(await connect(own, ['headgate', `bearer.${await sign(key, { sub: 'bob' })}`]), { user: 'bob', protocol: 'headgate' });
  assert.equal((await connect(own, ['headgate', 'bearer.no'])).closed, 1006);
  const evil = await browser.page(sites[1]); // cookies know no ports: it is sent from here, too
  assert.equal((await connect(evil, [])).closed, 1006, 'B-29: another site\'s page is nobody');
  assert.ok((await s.hg.metric('headgate_handshakes_total')) >= 2);
});
