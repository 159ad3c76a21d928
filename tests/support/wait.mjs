// Waiting for conditions, never for time: a condition is polled until it holds or its deadline has passed.

/** Resolves with the first truthy value of cond() (which may be async); throws `what` after ms. */
export async function waitFor(cond, { ms = 15000, every = 20, what = 'condition' } = {}) {
  const deadline = Date.now() + ms * slowness();
  for (;;) {
    const value = await cond();
    if (value) return value;
    if (Date.now() > deadline) throw new Error(`not in ${ms} ms: ${typeof what === 'function' ? what() : what}`);
    await new Promise((r) => setTimeout(r, every));
  }
}

/** Deadlines and loads scale with this under sanitizers. */
export function slowness() {
  return process.env.HEADGATE_BUILD?.endsWith('asan') ? 4 : 1;
}

/** n, or a fifth of it under sanitizers, at least `least`. */
export function load(n, least = 1) {
  return slowness() > 1 ? Math.max(least, Math.round(n / 5)) : n;
}

/** Rejects when p takes longer than ms. */
export function within(p, ms, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not in ${ms} ms: ${what}`)), ms * slowness());
  });
  return Promise.race([p, late]).finally(() => clearTimeout(timer));
}
