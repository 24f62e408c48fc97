import axe from 'axe-core';
import type { BrowserContextOptions, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { SaleSnapshot, Session } from '../../sale/contract.ts';
import { type OpenBrowser, openBrowser } from '../support/browser.ts';
import { startSystem, type TestSystem } from '../support/harness.ts';

let system: TestSystem;
let browser: OpenBrowser;
beforeAll(async () => {
  [system, browser] = await Promise.all([startSystem({ servers: 1, nginx: false }), openBrowser()]);
});
afterAll(async () => {
  await browser.close();
  await system.close();
});

const hourMs = 3_600_000;

async function openPage({ user, token }: Session, options: BrowserContextOptions = {}): Promise<Page> {
  const page = await browser.page({ ...options, bypassCSP: true });
  const session = JSON.stringify(JSON.stringify({ user, token }));
  await page.addInitScript(`localStorage.setItem('stampede.session', ${session})`);
  return page;
}

async function objections(page: Page): Promise<string[]> {
  await page.addScriptTag({ content: axe.source });
  const { violations } = (await page.evaluate('axe.run(document)')) as { violations: { id: string }[] };
  return violations.map(({ id }) => id);
}

const at = (page: Page, id: string) => page.locator(`[data-testid="${id}"]`);
const reads = (page: Page, id: string, text: string) =>
  at(page, id).filter({ hasText: text }).waitFor({ timeout: 30_000 });

test('a buyer enters a draw on the page, sees the number, and the browser recomputes it', async () => {
  const { product, opensAt, closesAt, price } = await system.createSale();
  const drawAt = new Date(Date.now() + hourMs / 2);
  const { body: sale } = await system.api<SaleSnapshot>('POST', '/api/sales', {
    token: system.adminToken,
    body: { productId: product.id, price, stock: 1, opensAt, closesAt, mode: 'draw', drawAt },
  });
  const { body: shown } = await system.api<string>('GET', `/sales/${sale.id}`);
  expect(shown).toMatch(/class="primary buy" hidden/);
  expect(shown).toContain('Lots decide');
  const buyer = await system.signUp();
  const page = await openPage(buyer, { viewport: { width: 390, height: 844 } });
  await page.goto(`${system.url}/sales/${sale.id}`);
  await reads(page, 'place', 'Lots decide');
  await at(page, 'place-button').focus();
  await page.keyboard.press('Enter');
  await reads(page, 'place', 'You are in the draw');
  expect(await objections(page)).toEqual([]);
  if (process.env.SHOTS) await page.screenshot({ path: `${process.env.SHOTS}/entered.png`, fullPage: true });
  await page.goto(`${system.url}/draws/${sale.id}`);
  await at(page, 'countdown')
    .filter({ hasText: /^00:\d\d:\d\d$/ })
    .waitFor();
  expect(await objections(page)).toEqual([]);
  await page.goto(`${system.url}/sales/${sale.id}`);
  await system.store.collections.sales.updateOne({ _id: sale.id }, { $set: { drawAt: new Date() } });
  await reads(page, 'place', 'It was your turn');
  await page.goto(`${system.url}/draws/${sale.id}`);
  await at(page, 'recompute').click();
  await reads(page, 'verdict', 'it agrees');
  await reads(page, 'mine', 'You drew number 1');
  expect(await at(page, 'checks').locator('li').allTextContents()).toHaveLength(3);
  expect(await objections(page)).toEqual([]);
  if (process.env.SHOTS) await page.screenshot({ path: `${process.env.SHOTS}/draw.png`, fullPage: true });
}, 120_000);

test('a buyer waits after the sell-out, and leaves again', async () => {
  const { product, opensAt, closesAt, price } = await system.createSale();
  const { body: sale } = await system.api<SaleSnapshot>('POST', '/api/sales', {
    token: system.adminToken,
    body: { productId: product.id, price, stock: 1, opensAt, closesAt, waitingList: true },
  });
  const first = system.buyerToken();
  const { orderId } = (await system.buy(sale.id, first)).body;
  await system.settled(orderId, first);
  const page = await openPage(await system.signUp(), { locale: 'de-DE' });
  await page.goto(`${system.url}/sales/${sale.id}`);
  await reads(page, 'place-button', 'Auf die Warteliste');
  await at(page, 'place-button').click();
  await reads(page, 'place', 'als Nächstes an der Reihe');
  await at(page, 'place-button').click();
  await reads(page, 'place-button', 'Auf die Warteliste');
  await at(page, 'place-button').click();
  await reads(page, 'place', 'als Nächstes an der Reihe');
  if (process.env.SHOTS) await page.screenshot({ path: `${process.env.SHOTS}/waiting.png` });
  await system.api('DELETE', `/api/orders/${orderId}`, { token: first });
  await reads(page, 'place', 'Du warst an der Reihe');
  expect(await objections(page)).toEqual([]);
}, 120_000);
