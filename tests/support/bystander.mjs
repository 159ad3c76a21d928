// A well-behaved client that asks for a pong again and again while others misbehave. It must never notice.
//   const b = await bystander(hg);  ...  await b.unharmed('what just happened');  ...  await b.leave();
import assert from 'node:assert/strict';
import { Client } from './client.mjs';
import { slowness } from './wait.mjs';

/** `patience`: the longest a pong may take, in ms. */
export async function bystander(hg, { patience = 3000, ...options } = {}) {
  const client = await Client.open(hg.url, options);
  const workers = hg.workers().map((w) => w.pid).sort().join();
  assert.notEqual(workers, '', 'no worker has its title');
  let fault, slowest = 0, pongs = 0, leaving = false;
  const ask = async () => {
    const start = performance.now();
    await client.ping(patience);
    slowest = Math.max(slowest, performance.now() - start);
    pongs++;
  };
  const all = (async () => {
    while (!leaving) {
      await ask();
      await new Promise((r) => setTimeout(r, 20));
    }
  })().catch((error) => { fault = error; });
  const b = {
    client,
    get pongs() { return pongs; },
    get slowest() { return slowest; },
    /** Throws when a pong was missing or late, the connection ended, or a worker is not the one it was. */
    unharmed: async (after) => {
      const before = pongs;
      while (!fault && pongs < before + 1) await new Promise((r) => setTimeout(r, 5));
      assert.equal(fault, undefined, `bystander after ${after}: ${fault?.message}`);
      assert.equal(client.closed, undefined, `bystander closed after ${after}`);
      assert.ok(hg.isRunning(), `headgate ended after ${after}`);
      assert.equal(hg.workers().map((w) => w.pid).sort().join(), workers, `a worker died after ${after}`);
      assert.ok(slowest < patience * slowness(), `a pong took ${slowest} ms`);
    },
    leave: async () => {
      leaving = true;
      await all;
      client.terminate();
      if (fault) throw fault;
    },
  };
  return b;
}
