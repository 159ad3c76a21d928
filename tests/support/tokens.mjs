// An issuer of tokens, made by a library that nobody here wrote (jose): key pairs as files for jwt_keys, signed tokens, and
// forged ones.
import { createHmac, generateKeyPairSync, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { SignJWT } from 'jose';
import { tempDir } from './proc.mjs';

const pairs = {
  RS256: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
  ES256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  EdDSA: () => generateKeyPairSync('ed25519'),
};

export const algorithms = ['HS256', ...Object.keys(pairs)];

/** A key: { alg, kid, file, item, privateKey, publicPem | secret }; item is its place in jwt_keys. */
export function makeKey(alg, { kid, dir = tempDir('keys'), name = `${alg}.key` } = {}) {
  const file = path.join(dir, name);
  const key = { alg, kid, file, item: `${kid ? `${kid}=` : ''}${alg}:${file}` };
  if (alg === 'HS256') {
    key.secret = randomBytes(32).toString('hex');
    key.privateKey = Buffer.from(key.secret);
    writeFileSync(file, `${key.secret}\n`);
  } else {
    const pair = pairs[alg]();
    key.privateKey = pair.privateKey;
    key.publicPem = pair.publicKey.export({ type: 'spki', format: 'pem' });
    key.privatePem = pair.privateKey.export({ type: 'pkcs8', format: 'pem' });
    writeFileSync(file, key.publicPem);
  }
  return key;
}

export const seconds = () => Math.floor(Date.now() / 1000);

/** A token for an hour; `claims` replace or (undefined) take away, `header` likewise. */
export function sign(key, claims = {}, header = {}) {
  const all = { tenant: 'acme', sub: 'alice', exp: seconds() + 3600, ...claims };
  const head = { alg: key.alg, ...(key.kid ? { kid: key.kid } : {}), ...header };
  return new SignJWT(JSON.parse(JSON.stringify(all))).setProtectedHeader(JSON.parse(JSON.stringify(head))).sign(key.privateKey, { crit: { x: true } });
}

const b64u = (x) => Buffer.from(typeof x === 'string' || Buffer.isBuffer(x) ? x : JSON.stringify(x)).toString('base64url');

/** What no library would make: any header and claims (text or object), signed by a function of the signing input. */
export function forge(header, claims, signature = () => Buffer.alloc(0)) {
  const input = `${b64u(header)}.${b64u(claims)}`;
  return `${input}.${b64u(signature(input))}`;
}

export const hmac = (secret) => (input) => createHmac('sha256', secret).update(input).digest();

export const asHeader = (token) => ({ headers: { authorization: `Bearer ${token}` } });
export const asProtocol = (token) => ({ protocols: ['headgate', `bearer.${token}`] });
export const asCookie = (token, name = 'session') => ({ headers: { cookie: `theme=dark; ${name}=${token}; x=1` } });
