// Reporter of the end-to-end run: the slowest tests, then one plain closing line.
export default async function* summary(events) {
  const count = { pass: 0, fail: 0, skip: 0 };
  const times = [];
  for await (const { type, data } of events) {
    if (type !== 'test:pass' && type !== 'test:fail') continue;
    if (data.details?.type === 'suite') continue;
    if (data.skip !== undefined && data.skip !== false) count.skip++;
    else count[type === 'test:pass' ? 'pass' : 'fail']++;
    times.push([data.details?.duration_ms ?? 0, data.name]);
  }
  times.sort((a, b) => b[0] - a[0]);
  yield 'slowest:\n';
  for (const [ms, name] of times.slice(0, 5)) yield `  ${(ms / 1000).toFixed(1)} s  ${name}\n`;
  yield `${count.pass} passed, ${count.fail} failed, ${count.skip} skipped\n`;
}
