import { setTimeout as delay } from 'node:timers/promises';
import type { BrowserContextOptions, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { waitUntil } from '../../ops/local/processes/process.mjs';
import type { SaleSnapshot, Session } from '../../sale/contract.ts';
import { type OpenBrowser, objections, openBrowser } from '../support/browser.ts';
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

const openPage = (as: Session, options: BrowserContextOptions = {}): Promise<Page> =>
  browser.page({ ...options, as });

const at = (page: Page, id: string) => page.locator(`[data-testid="${id}"]`);
const reads = (page: Page, id: string, text: string) =>
  at(page, id).filter({ hasText: text }).waitFor({ timeout: 30_000 });

test('a buyer enters a draw on the page, sees the number, and the browser recomputes it', async () => {
  const { opensAt, closesAt, price } = await system.createSale();
  const { body: product } = await system.api('POST', '/api/products', {
    token: system.adminToken,
    body: { name: 'A lamp by lot', description: 'Numbered, and made once. '.repeat(30) },
  });
  const drawAt = new Date(Date.now() + hourMs / 2);
  const { body: sale } = await system.api<SaleSnapshot>('POST', '/api/sales', {
    token: system.adminToken,
    body: { productId: product.id, price, stock: 1, opensAt, closesAt, mode: 'draw', drawAt },
  });
  const { body: shown } = await system.api<string>('GET', `/sales/${sale.id}`);
  expect(shown).toMatch(/class="primary buy" hidden/);
  expect(shown).toContain('Lots decide');
  const explained = (await system.api<string>('GET', `/draws/${sale.id}`)).body;
  expect(explained).toContain('now 0 entries');
  expect(explained).toMatch(/id="countdown"[^>]*>00:\d\d:\d\d</);
  const buyer = await system.signUp();
  const page = await openPage(buyer, { viewport: { width: 390, height: 844 } });
  await page.goto(`${system.url}/sales/${sale.id}`);
  await reads(page, 'place', 'Lots decide');
  // It stays in view like Buy, however long the description is.
  expect(await at(page, 'place-button').evaluate((node) => node.getBoundingClientRect().bottom)).toBeLessThan(
    844,
  );
  await at(page, 'place-button').focus();
  await page.keyboard.press('Enter');
  await reads(page, 'place', 'You are in the draw');
  expect(await page.locator('.buying').isVisible()).toBe(false);
  expect(await objections(page)).toEqual([]);
  if (process.env.SHOTS) await page.screenshot({ path: `${process.env.SHOTS}/entered.png`, fullPage: true });
  await page.goto(`${system.url}/draws/${sale.id}`);
  await at(page, 'countdown')
    .filter({ hasText: /^00:\d\d:\d\d$/ })
    .waitFor();
  expect(await objections(page)).toEqual([]);

  // A device whose clock is ten minutes slow, before the API answers.
  const slow = await openPage(buyer);
  await slow.addInitScript(`{
    const [now, origin] = [Date.now, performance.timeOrigin - 600_000];
    Date.now = () => now() - 600_000;
    Object.defineProperty(performance, 'timeOrigin', { value: origin });
  }`);
  await slow.route('**/api/**', () => {});
  await slow.goto(`${system.url}/draws/${sale.id}`);
  const painted = await at(slow, 'countdown').textContent();
  const running = () => at(slow, 'countdown').textContent();
  await expect.poll(running, { timeout: 30_000 }).not.toBe(painted);
  expect(await running()).toMatch(/^00:[012]\d:\d\d$/);
  await slow.context().close();

  await page.goto(`${system.url}/sales/${sale.id}`);
  await system.store.collections.sales.updateOne({ _id: sale.id }, { $set: { drawAt: new Date() } });
  await reads(page, 'place', 'It was your turn');
  // The server reads a draw once a second.
  const drawn = await waitUntil(
    async () => {
      const { body } = await system.api<string>('GET', `/draws/${sale.id}`);
      return /<button id="recompute"(?![^>]*hidden)[^>]*>/.exec(body)?.[0] ?? null;
    },
    { deadlineMs: 20_000, what: 'the page shows the draw as made' },
  );
  expect(drawn).toContain('aria-disabled="true"');
  await page.goto(`${system.url}/draws/${sale.id}`);
  await page.locator('#recompute[aria-disabled=false]').click();
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

test('a buyer gathers, waits, is called and buys with the pass, on two devices; staff see and steer the room', async () => {
  const { product, price } = await system.createSale();
  const asAdmin = { token: system.adminToken };
  const [opensAt, closesAt] = [new Date(Date.now() + hourMs), new Date(Date.now() + 2 * hourMs)];
  const { body: sale } = await system.api<SaleSnapshot>('POST', '/api/sales', {
    ...asAdmin,
    body: { productId: product.id, price, stock: 2, opensAt, closesAt, mode: 'room' },
  });
  const shot = async (page: Page, name: string) => {
    if (process.env.SHOTS)
      await page.screenshot({ path: `${process.env.SHOTS}/${name}.png`, fullPage: true });
  };
  // The first page of a server may come without its sale, because it is shown rather than late.
  const shown = await waitUntil(
    async () => {
      const { body } = await system.api<string>('GET', `/sales/${sale.id}`);
      return body.includes('id="snapshot"') ? body : null;
    },
    { deadlineMs: 20_000, what: 'the page shows its sale' },
  );
  expect(shown).toMatch(/class="primary buy" hidden/);
  expect(shown).toContain('This sale has a waiting room');

  const buyer = await system.signUp();
  const phone = await openPage(buyer, { viewport: { width: 390, height: 844 } });
  await phone.goto(`${system.url}/sales/${sale.id}`);
  await reads(phone, 'place', 'This sale has a waiting room');
  await shot(phone, 'room-rules');
  await at(phone, 'place-button').focus();
  await phone.keyboard.press('Enter');
  await reads(phone, 'place', 'You are in the waiting room');
  await reads(phone, 'room-note', '1 person has taken a place');
  expect(await objections(phone)).toEqual([]);
  await shot(phone, 'room-entered');

  const admin = { id: 'test-admin', role: 'admin' as const, name: 'Ada', email: 'admin@example.com' };
  const desk = await openPage(
    { user: admin, token: system.adminToken },
    { viewport: { width: 1440, height: 1000 } },
  );
  await desk.goto(`${system.url}/admin#sale/${sale.id}`);
  await reads(desk, 'room-facts', 'People gather');
  await at(desk, 'pause-room').click();
  await at(desk, 'room-message').fill('Back <b>soon</b>');
  await at(desk, 'tell-room').click();
  await reads(phone, 'room-message', 'The shop says: Back <b>soon</b>');

  await system.changeSale(sale.id, { opensAt: new Date(Date.now() + 1_500) });
  await reads(desk, 'room-facts', 'Paused');
  await reads(phone, 'place', 'Your place is 1. You are next.');
  await reads(phone, 'room-note', 'The shop has paused the room');
  await reads(desk, 'room-facts', 'Back <b>soon</b>');
  await shot(phone, 'room-waiting');
  expect(await objections(desk)).toEqual([]);
  await shot(desk, 'room-desk');
  await desk.setViewportSize({ width: 390, height: 844 });
  await shot(desk, 'room-desk-390');
  expect(await at(phone, 'buy').isVisible()).toBe(false);
  await at(desk, 'resume-room').click();
  await reads(phone, 'place', 'It is your turn');
  await phone.getByRole('alert').filter({ hasText: 'It is your turn' }).waitFor({ state: 'attached' });
  expect(await phone.title()).toContain('It is your turn');
  await shot(phone, 'room-called');
  expect(await objections(phone)).toEqual([]);
  await at(phone, 'place-button').focus();
  await phone.keyboard.press('Enter');
  await reads(phone, 'place', 'You are in');
  await shot(phone, 'room-inside');

  // The place belongs to the person, on every device.
  const laptop = await openPage(buyer, { viewport: { width: 1440, height: 900 } });
  // A pass that comes late: the button for buying comes with it.
  await laptop.route('**/places/mine/pass', async (route) => {
    await delay(500);
    await route.continue();
  });
  await laptop.goto(`${system.url}/sales/${sale.id}`);
  await reads(laptop, 'place', 'You are in');
  await shot(laptop, 'room-inside-1440');
  await at(laptop, 'buy').click();
  await reads(laptop, 'order-status', 'Paid');
  await reads(phone, 'order-status', 'Paid');
  expect(await at(phone, 'place').isVisible()).toBe(false);

  const other = await openPage(await system.signUp(), { locale: 'de-DE' });
  await other.goto(`${system.url}/sales/${sale.id}`);
  await reads(other, 'place', 'Der Raum ist offen');
  await system.changeSale(sale.id, { withdrawStock: 1 });
  await reads(other, 'place', 'Ausverkauft');
  expect(await system.audit()).toMatchObject({ ok: true, I8: { breaches: 0 } });
}, 120_000);
