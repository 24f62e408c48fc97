import { readFile } from 'node:fs/promises';
import type { BrowserContextOptions, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { accessView, isOpenFor, mayChange } from '../../public/sale/access-view.js';
import { english as texts } from '../../public/texts/en.js';
import type { SaleAccess, SaleSnapshot } from '../../sale/contract.ts';
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

const openPage = (as: object | null, options: BrowserContextOptions = {}): Promise<Page> =>
  browser.page({ ...options, as, reducedMotion: 'reduce' });

const at = (page: Page, id: string) => page.locator(`[data-testid="${id}"]`);
const reads = (page: Page, id: string, text: string | RegExp) =>
  at(page, id).filter({ hasText: text }).waitFor({ timeout: 30_000 });
const shot = async (page: Page, name: string) => {
  if (process.env.SHOTS) await page.screenshot({ path: `${process.env.SHOTS}/${name}.png`, fullPage: true });
};

test('the page says who may buy when, and what the buyer can do about it', () => {
  const now = Date.UTC(2027, 0, 1);
  const in_ = (ms: number) => new Date(now + ms).toISOString();
  const sale = {
    phases: [
      { name: 'Members', access: 'list' as const, opensAt: in_(-1) },
      { name: 'Codes', access: 'code' as const, opensAt: in_(0) },
      { name: 'All', access: 'everybody' as const, opensAt: in_(1_000) },
    ],
  };
  const words = { texts, dateTime: (time: string) => `at ${Date.parse(time) - now}` };
  const look = (access: SaleAccess | null, more: object = {}) => {
    const buyer = { access, isSignedIn: true, isVerified: true, now, ...more };
    return accessView(sale, buyer, words);
  };
  const answer: SaleAccess = { opensAt: in_(1_000), isListed: false, code: null };
  expect(accessView({}, { access: null, isSignedIn: false, isVerified: false, now }, words)).toBeNull();
  expect(look(null, { isSignedIn: false })).toMatchObject({ text: texts.access.signIn, asksCode: true });
  expect(look(answer)?.phases.map(({ isNow, when }) => [isNow, when])).toEqual([
    [false, 'from at -1'],
    [true, 'from at 0'],
    [false, 'from at 1000'],
  ]);
  expect(look(answer)?.text).toBe('It opens for you: at 1000.');
  expect(look(answer, { isVerified: false })?.text).toContain('confirm yours');
  expect(look({ ...answer, code: 'used' })?.text).toContain('used already');
  expect(look({ ...answer, opensAt: null })?.text).toBe(texts.access.needsCode);
  const listed = { ...answer, isListed: true, opensAt: in_(-1) };
  expect(look(listed)?.text).toBe('You are on the list. It is open for you.');
  expect(look(answer, { now: now + 1_000 })).toMatchObject({ text: '', asksCode: false });
  expect([isOpenFor(sale, null, now), isOpenFor(sale, answer, now), isOpenFor(sale, listed, now)]).toEqual([
    false,
    false,
    true,
  ]);
  const maySoon = [null, answer, listed, { ...answer, isListed: true }].map((one) =>
    mayChange(sale, one, now),
  );
  expect([...maySoon, mayChange(sale, null, now + 1_000)]).toEqual([true, true, false, false, false]);
  expect([isOpenFor(sale, null, now + 1_000), isOpenFor({}, null, now)]).toEqual([true, true]);
});

test('staff make phases, a list and a code, and a buyer comes in with its link', async () => {
  const draftOf = async (body: object) =>
    (await system.api<SaleSnapshot>('POST', '/api/sales', { token: system.adminToken, body })).body;
  const { product } = await system.createSale();
  const opensAt = new Date(Date.now() - hourMs);
  const closesAt = new Date(Date.now() + 3 * hourMs);
  const price = { amount: 4_900, currency: 'EUR' };
  const draft = await draftOf({ productId: product.id, price, stock: 9, opensAt, closesAt, draft: true });

  const admin = { user: { id: 'test-admin', role: 'admin', name: 'Ada', email: 'a@example.com' } };
  const staff = await openPage(
    { ...admin, token: system.adminToken },
    { viewport: { width: 1_440, height: 900 } },
  );
  staff.on('dialog', (dialog) => dialog.accept());
  await staff.goto(`${system.url}/admin#draft/${draft.id}`);
  await reads(staff, 'draft-terms', 'Limit');
  await staff.getByRole('button', { name: 'Edit' }).click();
  const form = at(staff, 'form');
  await at(staff, 'add-phase').click();
  await form.locator('[name="phase-1.name"]').fill('With a code');
  await form.locator('[name="phase-1.access"]').selectOption('code');
  await at(staff, 'add-phase').click();
  await form.locator('[name="phase-3.name"]').fill('Friends');
  await form.locator('[name="phase-3.access"]').selectOption('list');
  await form.locator('[name="phase-3.opensAt"]').fill('2020-01-01T00:00:00');
  await form.getByRole('button', { name: 'Save' }).click();
  await form.getByText('a time after the phase before').waitFor();
  expect(await objections(staff)).toEqual([]);
  await shot(staff, 'form');
  const later = new Date(Date.now() + 2 * hourMs).toISOString().slice(0, 19);
  await form.locator('[name="phase-3.opensAt"]').fill(later);
  for (const [n, name] of [
    [2, 'Everybody'],
    [3, 'Friends'],
  ] as const) {
    await form
      .locator(`[name="phase-${n}.opensAt"]`)
      .fill(new Date(Date.now() + n * 0.5 * hourMs).toISOString().slice(0, 19));
    await form.locator(`[name="phase-${n}.name"]`).fill(name);
  }
  await form.getByRole('button', { name: 'Save' }).click();
  // The time that has passed is asked about once more.
  const question = form.locator('input[type="checkbox"]').first();
  await question.check();
  await form.getByRole('button', { name: 'Save' }).click();
  await reads(staff, 'draft-terms', 'people with a code, from');

  await staff.getByRole('button', { name: 'Upload a list…' }).click();
  await at(staff, 'list-text').fill('E-Mail\nann@example.com\nbob@example.com');
  await at(staff, 'form').getByRole('button', { name: 'Save' }).click();
  await reads(staff, 'listed', '2 people are on the list');
  await at(staff, 'make-codes').click();
  await at(staff, 'form').locator('[name="codes"]').fill('1');
  const saving = staff.waitForEvent('download');
  await at(staff, 'form').getByRole('button', { name: 'Make them' }).click();
  const file = await readFile(await (await saving).path(), 'utf8');
  const [, code = '', link = ''] = /^code,link\r\n(\S+),(\S+)\r\n$/.exec(file) ?? [];
  await reads(staff, 'new-codes', 'not shown again');
  const made = at(staff, 'codes').locator('tbody tr');
  await made.waitFor();
  expect((await made.locator('td').allTextContents()).slice(0, 4)).toEqual(['–', '1', '1', '0']);
  expect(await objections(staff)).toEqual([]);
  await shot(staff, 'codes');
  await staff.setViewportSize({ width: 390, height: 844 });
  await shot(staff, 'codes-390');
  const published = await system.api('POST', `/api/sales/${draft.id}/publication`, {
    token: system.adminToken,
  });
  expect(published.status).toBe(200);
  expect(link).toBe(`${system.url}/sales/${draft.id}?code=${code}`);

  const { body: first } = await system.api<string>('GET', `/sales/${draft.id}`);
  expect(first).toMatch(
    /<ol class="phases"><li data-now><strong>With a code<.strong><span class="phase-when">open now/,
  );
  const stranger = await openPage(await system.signUp(), { viewport: { width: 390, height: 844 } });
  await stranger.goto(`${system.url}/sales/${draft.id}`);
  await stranger.locator('[data-state="not-yet"]').filter({ hasText: 'Not open for you yet' }).waitFor();
  await stranger.locator('#buy-note').filter({ hasText: 'It opens for you' }).waitFor();
  await at(stranger, 'code').fill('nonsense');
  await at(stranger, 'use-code').click();
  await reads(stranger, 'access', 'does not know this code');
  expect(await objections(stranger)).toEqual([]);
  await shot(stranger, 'stranger-390');

  const buyer = await openPage(await system.signUp(), { viewport: { width: 1_440, height: 900 } });
  await buyer.goto(link);
  await reads(buyer, 'access', 'Your code is valid. It is open for you.');
  await buyer.locator('[data-state="buy"]').click();
  await reads(buyer, 'order-status', 'Paid');
  expect(await objections(buyer)).toEqual([]);
  await shot(buyer, 'buyer-1440');
  await at(stranger, 'code').fill(code.toLowerCase());
  await at(stranger, 'use-code').click();
  await reads(stranger, 'access', 'This code has been used already.');
  for (const locale of ['de-DE', 'fr-FR']) {
    const page = await openPage(null, { viewport: { width: 390, height: 844 }, locale });
    await page.goto(`${system.url}/sales/${draft.id}`);
    await reads(page, 'phases', locale === 'de-DE' ? 'mit einem Code' : 'avec un code');
    await shot(page, locale);
  }
}, 120_000);

/** A sale with its phases begun or to come, so many hours from now. */
async function onSale(
  phases: { access: 'list' | 'code' | 'everybody'; in: number }[],
): Promise<SaleSnapshot> {
  const { product } = await system.createSale();
  const from = phases.map((phase) => new Date(Date.now() + phase.in * hourMs));
  const { status, body } = await system.api('POST', '/api/sales', {
    token: system.adminToken,
    body: {
      ...{ productId: product.id, price: { amount: 100, currency: 'EUR' }, stock: 9, limitPerBuyer: 3 },
      phases: phases.map(({ access }, n) => ({ name: `Phase ${n + 1}`, access, opensAt: from[n] })),
      ...{ opensAt: from[0], closesAt: new Date(Date.now() + 3 * hourMs) },
    },
  });
  expect([status, body.detail]).toEqual([201, undefined]);
  return body;
}

test('the page asks again after a failure, and opens when the address is confirmed and listed elsewhere', async () => {
  const sale = await onSale([
    { access: 'list', in: -1 },
    { access: 'everybody', in: 2 },
  ]);
  const page = await openPage(null);
  const email = 'late@example.com';
  const account = { email, password: 'a long password', name: 'Late' };
  const answer = await page.context().request.post(`${system.url}/api/users`, { data: account });
  const session = JSON.stringify(await answer.json());
  await page.addInitScript(`localStorage['stampede.session'] ??= ${JSON.stringify(session)}`);
  let refused = 0;
  await page.route('**/api/sales/*/access', (route) =>
    refused++ === 0 ? route.fulfill({ status: 503, json: {} }) : route.continue(),
  );
  await page.goto(`${system.url}/sales/${sale.id}`);
  await reads(page, 'access', 'confirm yours');
  expect(refused).toBeGreaterThan(1);

  const { users } = system.store.collections;
  await users.updateOne({ email }, { $set: { emailVerifiedAt: new Date() } });
  const uploaded = await system.api('POST', `/api/admin/sales/${sale.id}/list`, {
    token: system.adminToken,
    body: email,
    headers: { 'Content-Type': 'text/csv' },
  });
  expect(uploaded.status).toBe(200);
  const comesBack = () => page.evaluate("document.dispatchEvent(new Event('visibilitychange'))");
  const isOpen = page.locator('[data-state="buy"]');
  while (!(await isOpen.isVisible())) {
    await comesBack();
    await isOpen.waitFor({ timeout: 1_000 }).catch(() => {});
  }
  await reads(page, 'access', 'You are on the list. It is open for you.');
}, 60_000);

test('a press of Buy right after typing a code buys, and the code of a link is kept', async () => {
  const sale = await onSale([{ access: 'code', in: -1 }]);
  const made = await system.api<{ codes: string[] }>('POST', `/api/admin/sales/${sale.id}/codes`, {
    token: system.adminToken,
    body: { codes: 2 },
  });
  const [typed = '', linked = ''] = made.body.codes;
  const address = `${system.url}/sales/${sale.id}`;
  const page = await openPage(await system.signUp());
  await page.goto(address);
  await reads(page, 'access', 'with a code');
  await at(page, 'code').pressSequentially('0000-0000-0000-0000');
  await page.locator('#buy').click();
  await reads(page, 'access', 'does not know this code');
  expect(await page.locator('#buy').getAttribute('aria-disabled')).toBe('true');
  await at(page, 'code').fill(typed);
  await page.locator('[data-state="not-yet"]').click();
  await reads(page, 'order-status', 'Paid');

  const other = await openPage(await system.signUp());
  await other.goto(`${address}?code=${linked}`);
  await reads(other, 'access', 'It is open for you.');
  await other.goto(address);
  await reads(other, 'access', 'It is open for you.');
  expect(await at(other, 'code').inputValue()).toBe(linked);
}, 60_000);

test('a code lets into a room, also past a server of the version before, which takes it in the address', async () => {
  const { product } = await system.createSale();
  const [opensAt, closesAt] = [1, 2].map((hours) => new Date(Date.now() + hours * hourMs).toISOString());
  const phases = [{ name: 'Friends', opensAt, access: 'code' }];
  const terms = { productId: product.id, price: { amount: 4_900, currency: 'EUR' }, stock: 9, mode: 'room' };
  const asAdmin = { token: system.adminToken };
  const { body: sale } = await system.api<SaleSnapshot>('POST', '/api/sales', {
    ...asAdmin,
    body: { ...terms, phases, opensAt, closesAt },
  });
  const made = await system.api<{ codes: string[] }>('POST', `/api/admin/sales/${sale.id}/codes`, {
    ...asAdmin,
    body: { codes: 1 },
  });
  const page = await openPage(await system.signUp());
  const asked: string[] = [];
  await page.route(`**/api/sales/${sale.id}/places*`, async (route) => {
    asked.push(new URL(route.request().url()).search);
    const { 'sale-code': _, ...headers } = route.request().headers();
    await route.continue({ headers });
  });
  await page.goto(`${system.url}/sales/${sale.id}?code=${made.body.codes[0]}`);
  expect(await at(page, 'code').inputValue()).toBe(made.body.codes[0]);
  await at(page, 'place-button').click();
  await at(page, 'leave-button').waitFor({ timeout: 30_000 });
  expect(asked).toEqual(['', `?code=${made.body.codes[0]}`]);
}, 60_000);
