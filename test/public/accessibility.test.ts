import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { SaleSnapshot, Session } from '../../sale/contract.ts';
import { type OpenBrowser, objections, openBrowser } from '../support/browser.ts';
import { bullOf } from '../support/bull.ts';
import { startSystem, type TestSystem } from '../support/harness.ts';

let system: TestSystem;
let browser: OpenBrowser;
let sales: Record<'open' | 'soon' | 'ended' | 'soldOut' | 'sizes', SaleSnapshot>;
let buyer: Session;
let draft: SaleSnapshot;

const hourMs = 3_600_000;

beforeAll(async () => {
  [system, browser] = await Promise.all([startSystem(), openBrowser()]);
  const from = (ms: number) => new Date(Date.now() + ms);
  sales = {
    open: await system.createSale({ stock: 9, limitPerBuyer: 3 }),
    soon: await system.createSale({ opensAt: from(hourMs), closesAt: from(2 * hourMs) }),
    ended: await system.createSale({ opensAt: from(-2 * hourMs), closesAt: from(-hourMs) }),
    soldOut: await system.createSale({ stock: 1 }),
    sizes: await system.createSale({ sizes: { 'EU 41': 1, 'EU 42': 5, 'EU 43': 9 }, limitPerBuyer: 3 }),
  };
  buyer = await system.signUp();
  const asAdmin = { token: system.adminToken };
  draft = (await system.api('POST', `/api/sales/${sales.open.id}/duplicates`, asAdmin)).body;
  const lines = ['1', '2'].map((itemId) => ({ itemId, quantity: 1 }));
  await system.buy(sales.sizes.id, buyer.token, { lines });
  await system.buy(sales.open.id, buyer.token);
  await system.buy(sales.soldOut.id, system.buyerToken());
  await bullOf(system.store.queue).add({ purchases: [{ nonsense: true }] } as never, { attempts: 1 });
  await system.quiet();
});
afterAll(async () => {
  await browser.close();
  await system.close();
});

const admin = () => ({
  user: { id: 'test-admin', role: 'admin', name: 'Ada', email: 'admin@example.com' },
  token: system.adminToken,
});

type Place = [
  name: string,
  path: () => string,
  as: () => object | null,
  look: (page: Page) => Promise<unknown>,
];

const shows = (selector: string) => (page: Page) => page.locator(selector).first().waitFor();
const chooses = (label: string) => (page: Page) => page.getByRole('radio', { name: label }).check();
const nobody = () => null;
const places: Place[] = [
  ['the list of sales', () => '/', nobody, shows('.card')],
  ['an open sale', () => `/sales/${sales.open.id}`, nobody, shows('[data-state=sign-in]')],
  ['a sale with sizes', () => `/sales/${sales.sizes.id}`, nobody, chooses('EU 42')],
  ['a bought size', () => `/sales/${sales.sizes.id}`, () => buyer, shows('.order-lines li')],
  ['a bought sale', () => `/sales/${sales.open.id}`, () => buyer, shows('[data-state=paid]')],
  ['an upcoming sale', () => `/sales/${sales.soon.id}`, nobody, shows('[data-state=soon]')],
  ['a sold-out sale', () => `/sales/${sales.soldOut.id}`, nobody, shows('[data-state=sold-out]')],
  ['an ended sale', () => `/sales/${sales.ended.id}`, nobody, shows('[data-state=ended]')],
  ['an unknown sale', () => '/sales/there-is-none', nobody, shows('.way-on')],
  ['my orders', () => '/orders', () => buyer, shows('.order-line')],
  ['the sign-in', () => '/orders', nobody, (page) => page.getByTestId('account').click()],
  ['the ticker', () => `/ticker/${sales.open.id}`, nobody, shows('#stock:not(:empty)')],
  ['the ticker with sizes', () => `/ticker/${sales.sizes.id}`, nobody, shows('[data-testid=items] li')],
  ['the example of the embedded stock', () => '/embed.html', nobody, shows('stampede-stock')],
  ['the sign-in of the control room', () => '/admin', nobody, shows('#no-access:not([hidden])')],
  ['control room: now', () => '/admin', admin, shows('[data-testid=processes] td')],
  [
    'control room: its views on a phone',
    () => '/admin',
    admin,
    async (page) => {
      await page.setViewportSize({ width: 390, height: 844 });
      await page.getByRole('button', { name: 'Views: Now' }).click();
      await page.getByRole('link', { name: 'Products' }).waitFor();
    },
  ],
  ['control room: sales', () => '/admin#sales', admin, shows('[data-testid=sales] td')],
  ['control room: one sale', () => `/admin#sale/${sales.open.id}`, admin, shows('[data-testid=report] dd')],
  ['control room: sizes', () => `/admin#sale/${sales.sizes.id}`, admin, shows('[data-testid=items] td')],
  ['control room: products', () => '/admin#products', admin, shows('.product')],
  ['control room: orders', () => '/admin#orders', admin, shows('[data-testid=orders] td')],
  ['control room: dead letters', () => '/admin#dead-letters', admin, shows('.dead-letter')],
  ['a preview', () => `/sales/${draft.id}?preview`, admin, shows('#preview:not([hidden])')],
  ['control room: a draft', () => `/admin#draft/${draft.id}`, admin, shows('[data-testid=draft-terms] dd')],
  [
    'control room: a publication',
    () => `/admin#draft/${draft.id}`,
    admin,
    (page) => page.getByTestId('publish').click(),
  ],
  [
    'control room: a new sale with faults and questions',
    () => '/admin#sales',
    admin,
    async (page) => {
      await page.getByTestId('new-sale').click();
      const form = page.getByTestId('form');
      await form.locator('[name="items.0.price"]').fill('0');
      await form.locator('[name="limitPerBuyer"]').fill('1,500');
      await form.getByRole('button', { name: 'Save' }).click();
      await form.getByRole('alert').first().waitFor();
    },
  ],
  [
    'control room: a new product',
    () => '/admin#products',
    admin,
    (page) => page.getByTestId('new-product').click(),
  ],
];

test.each(places)('axe finds nothing at %s', async (_name, path, as, look) => {
  const page = await browser.page({ as: as(), reducedMotion: 'reduce' });
  await page.goto(system.url + path());
  await look(page);
  expect(await objections(page)).toEqual([]);
  await page.emulateMedia({ colorScheme: 'dark' });
  expect(await objections(page, 'color-contrast'), 'dark').toEqual([]);
  await page.context().close();
});
