// A silent client is pinged every ping_interval; one that answers stays, one from whom nothing comes is closed with 1001
// "idle timeout".
// Not tested here: deadlines before the handshake is done (hostile_handshake).
import test from 'node:test';
import assert from 'node:assert/strict';
import { Client } from '../support/client.mjs';
import { CLOSE, PING, rawWebSocket } from '../support/http.mjs';
import { stage } from '../support/stage.mjs';

test('B-35: one that answers pings stays, one that does not is closed with 1001', { timeout: 60000 }, async (t) => {
  const s = await stage(t, { sql: false, options: { workers: 1, ping_interval: '500ms', idle_timeout: '2s' } });
  const polite = s.keep(await Client.open(s.hg.url)); // its library answers pings
  let pings = 0;
  polite.ws.on('ping', () => {
    pings++;
    polite.wake();
  });
  const silent = await rawWebSocket(s.hg.url);
  t.after(() => silent.destroy());
  await silent.until(() => silent.frames().some((f) => f.opcode === PING), 5000, 'a ping');
  await silent.until(() => silent.closeCode() !== undefined, 10000, 'the close');
  const close = silent.frames().find((f) => f.opcode === CLOSE);
  assert.deepEqual([silent.closeCode(), close.payload.subarray(2).toString()], [1001, 'idle timeout']);
  const before = pings;
  await polite.until(() => pings > before + 4 || polite.closed, { what: 'further pings' }); // for longer than idle_timeout
  assert.equal(polite.closed, undefined);
});
