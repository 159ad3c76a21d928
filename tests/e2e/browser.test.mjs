// What a newcomer sees after "make -f Makefile.ci run": the console page in two tabs on different workers; a query's
// snapshot, an edit in one tab that arrives as a diff in the other, a broadcast. Screenshots go to build/.
// Not tested here: how it looks (the screenshots are looked at by hand), a real Kafka under it (run-real).
import test from 'node:test';
import assert from 'node:assert/strict';
import path from 'node:path';
import { startBrowser } from '../support/browser.mjs';
import { startHeadgate } from '../support/headgate.mjs';
import { root } from '../support/proc.mjs';
import { waitFor } from '../support/wait.mjs';

const text = (page, selector) => page.locator(selector).innerText();
const cell = (page, column) => page.locator(`#live button.cell[aria-label^="${column} of row 1:"]`);

test('two tabs on different workers: snapshot, edit, diff, broadcast', { timeout: 120000 }, async (t) => {
  const hg = await startHeadgate({ name: 'dev', flags: ['--dev'], options: { workers: 2 } });
  t.after(() => hg.stop());
  const browser = await startBrowser(t);
  const url = `${hg.http}/console/`;
  const a = await browser.page(url), b = await browser.page(url, { colorScheme: 'dark' });
  for (const page of [a, b]) await page.locator('#connection[data-state=open]').waitFor();

  // The kernel picks the worker of a connection: connect again until they differ.
  await waitFor(async () => {
    if (await text(a, '#worker') !== await text(b, '#worker')) return true;
    const id = await text(b, '#connection-id');
    await b.click('#reconnect');
    await waitFor(async () => /^[0-9a-f-]{36}$/.test(await text(b, '#connection-id')) && await text(b, '#connection-id') !== id, { what: 'a new connection' });
    return false;
  }, { what: 'tabs on different workers' });

  for (const page of [a, b]) {
    await page.selectOption('#preset', { label: 'All tasks' });
    await page.click('#do-subscribe');
    await page.locator('#live .state[data-state=live]').waitFor();
    await cell(page, 'title').waitFor();
  }
  assert.ok(await a.locator('#live tbody tr').count() > 3, 'a snapshot with rows');

  const title = `Looked at by a test, ${process.pid}`;
  await cell(a, 'title').click();
  await a.keyboard.type(title); // the field is selected: typing replaces it
  await a.keyboard.press('Enter');
  for (const page of [a, b]) await page.locator(`#live button.cell:text-is("${title}")`).waitFor();
  await b.locator('#live .facts-line:has-text("1 diffs"), #live .facts-line:has-text("1 diff")').first().waitFor();

  for (const page of [a, b]) {
    await page.click('#do-join');
    await page.locator('#rooms li').first().waitFor();
  }
  await a.fill('#message', 'The gate is open');
  await a.click('#do-publish');
  for (const page of [a, b]) await page.locator('#broadcasts li:has-text("The gate is open")').waitFor();
  assert.equal(await b.locator('#broadcasts li').count(), 1, 'once');

  // The keyboard alone reaches a control.
  await a.keyboard.press('Tab');
  assert.notEqual(await a.evaluate('document.activeElement.tagName'), 'BODY');
  await a.screenshot({ path: path.join(root, 'build/console.png') });
  await b.screenshot({ path: path.join(root, 'build/console-dark.png') });
  assert.deepEqual(browser.errors, []);
});
