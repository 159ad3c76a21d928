// LSN headers of real producers, kafkajs and librdkafka, in every form that the sources' producers wrote and their gateways
// were meant to read (spec 7.4, C-8): the three names, 8 bytes big-endian, text as BigInt reads it, on routed and bare topics.
// Not tested here: each text by itself (tests/proto/names_test.c).
import test from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { Client } from '../support/client.mjs';
import { lsnHeader } from '../support/database.mjs';
import { build } from '../support/proc.mjs';
import { stage } from '../support/stage.mjs';
import { waitFor } from '../support/wait.mjs';

execFileSync('cmake', ['--build', build, '--target', 'rdproduce'], { stdio: ['ignore', 'ignore', 'inherit'] });

const hex = (x) => Buffer.from(x).toString('hex');

const producers = {
  kafkajs: (s, topic, records) => s.db.producer.send({ topic, messages: records }),
  librdkafka: async (s, topic, records) => execFileSync(path.join(build, 'rdproduce'), [s.kafka.brokers, topic], {
    input: records.map((r) => [hex(r.key), hex(r.value), ...Object.entries(r.headers).map(([k, v]) => `${k}=${hex(v)}`)].join('\t') + '\n').join(''),
  }),
};

const forms = {
  'binary': (lsn) => lsnHeader(lsn),
  'decimal': (lsn) => String(lsn),
  '0x': (lsn) => `0x${lsn.toString(16)}`,
  '0b': (lsn) => `0b${lsn.toString(2)}`,
  'blanks and a sign': (lsn) => ` +${lsn}\n`,
  'eight characters': (lsn) => String(lsn).padStart(8, '0'),
  'eight characters of hex': (lsn) => `0x${lsn.toString(16).padStart(6, '0')}`,
};

for (const [name, produce] of Object.entries(producers)) {
  test(`B-4, C-8: ${name}: every name and form of the LSN header, on routed and bare topics`, { timeout: 60000 }, async (t) => {
    const s = await stage(t, {
      partitions: 1,
      options: (topics) => ({ workers: 2, profile_paths: '/two=v2', kafka_topics: `${topics.diffs}:diff,${topics.bare}:bare` }),
    });
    const c = s.keep(await Client.open(s.hg.url)), two = s.keep(await Client.open(new URL('/two', s.hg.url).href));
    await c.subscribe('t', 'h');
    await two.subscribe('u', 'b', { queryJson: undefined, queryFbB64: 'AAAA' });
    let lsn = 100000n;
    const sent = [], records = (key) => Object.values(forms).flatMap((form) => ['lsn', 'LSN', '__lsn'].map((header) => {
      sent.push(++lsn);
      return { key, value: JSON.stringify({ stream: key, lsn: String(lsn) }), headers: { other: 'x', [header]: form(lsn) } };
    }));
    await produce(s, s.topics.diffs, records('demo_t|h'));
    const routed = sent.splice(0);
    await c.until(() => c.sub('h').diffs.length === routed.length, { what: () => `all diffs; got ${c.sub('h').diffs.length} of ${routed.length}` });
    assert.deepEqual(c.sub('h').diffs.map((d) => d.lsn), routed);
    await produce(s, s.topics.bare, records('b'));
    await two.until(() => two.sub('b').diffs.length === sent.length, { what: () => `all bare diffs; got ${two.sub('b').diffs.length}` });
    assert.deepEqual(two.sub('b').diffs.map((d) => d.lsn), sent);
    const late = s.keep(await Client.open(s.hg.url));
    assert.equal((await late.subscribe('t', 'other')).lsn, lsn, 'the watermark is that of the last');

    // The first name that is there counts, be it readable or not; what is unreadable is 0, and such a diff reaches nobody.
    const bad = ['x', '-5', '1.5', '', '0x', '18446744073709551616', Buffer.alloc(7, 1), Buffer.alloc(9, 1), Buffer.alloc(8)];
    await produce(s, s.topics.diffs, [
      ...bad.map((value) => ({ key: 'demo_t|h', value: 'no JSON: would break the client', headers: { lsn: value, LSN: String(++lsn) } })),
      { key: 'demo_t|h', value: 'nor this', headers: { other: '1' } },
      { key: 'demo_t|h', value: JSON.stringify({ stream: 'demo_t|h', lsn: String(++lsn) }), headers: { __lsn: '1', LSN: '2', lsn: String(lsn) } },
    ]);
    await c.until(() => c.sub('h').diffs.length === routed.length + 1, { what: 'the good one behind the bad' });
    await waitFor(async () => await s.hg.metric('headgate_records_no_lsn_total') === bad.length + 1, { what: 'them to be counted' });
    await waitFor(() => s.hg.logText().includes(`record.no_lsn topic=${s.topics.diffs} `), { what: 'the warning' });
  });
}
