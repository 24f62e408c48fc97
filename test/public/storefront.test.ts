import { setTimeout as delay } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { waitUntil } from '../../ops/local/processes/process.mjs';
import type { Session } from '../../sale/contract.ts';
import { createAccount, type OpenBrowser, openBrowser } from '../support/browser.ts';
import { startSystem, type TestSystem } from '../support/harness.ts';
import { readSamples, valueIn } from '../support/samples.ts';

let system: TestSystem;
let browser: OpenBrowser;
/** Errors that pages threw; every test must end without any. */
const thrown: string[] = [];

beforeAll(async () => {
  [system, browser] = await Promise.all([startSystem(), openBrowser()]);
});
afterEach(async () => {
  await browser.closePages();
  expect(thrown.splice(0)).toEqual([]);
});
afterAll(async () => {
  await browser.close();
  await system.close();
});

/** Opens a path in a new browser profile, signed in when a session is given. */
async function visit(path: string, { as, width = 1_280 }: { as?: Session; width?: number } = {}) {
  const page = await browser.page({ viewport: { width, height: 860 } });
  page.on('pageerror', (error) => thrown.push(error.message));
  page.on('console', (message) => {
    if (message.text().includes('Content Security Policy')) thrown.push(message.text());
  });
  if (as) await signInAhead(page, as);
  await page.goto(system.url + path);
  return page;
}

function signInAhead(page: Page, { user, token }: Session) {
  const session = JSON.stringify(JSON.stringify({ user, token }));
  return page.addInitScript(
    `localStorage.getItem('stampede.session') ?? localStorage.setItem('stampede.session', ${session})`,
  );
}

/** Waits until an element has this text, or matches this pattern. */
const sees = (page: Page, testId: string, text: string | RegExp) =>
  page
    .getByTestId(testId)
    .filter({ hasText: typeof text === 'string' ? new RegExp(`^\\s*${text}\\s*$`) : text })
    .first()
    .waitFor();

/** Waits until the Buy button is in this state. */
const canBuy = (page: Page, state: string) =>
  page.locator(`[data-testid=buy][data-state=${state}]`).waitFor();

const buys = (page: Page) => page.getByTestId('buy').click();

async function ordersOf({ token }: Session) {
  const { body } = await system.api('GET', '/api/orders', { token });
  return body.orders;
}

/** Holds back the answers to purchases until the returned function is called. */
async function holdPurchases(page: Page) {
  let release = () => {};
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  await page.route('**/purchases', async (route) => {
    await released;
    await route.continue();
  });
  return release;
}

/** Another buyer buys one unit of an item. */
async function sells(saleId: string, itemId: string) {
  const lines = [{ itemId, quantity: 1 }];
  expect((await system.buy(saleId, system.buyerToken(), { lines })).status).toBe(202);
}

/** Notes what must never be seen: layout that shifts by itself, units left above "Sold out", and a sentence spoken twice. */
const watchForFaults = `
  globalThis.shifts = [];
  globalThis.contradictions = [];
  globalThis.spoken = [];
  new PerformanceObserver((list) => {
    const place = ({ node, previousRect: { top, bottom }, currentRect }) =>
      (node?.id || node?.className || node?.nodeName) + ' ' + [top, bottom] + ' → ' + [currentRect.top, currentRect.bottom];
    for (const { hadRecentInput, value, sources } of list.getEntries()) {
      if (!hadRecentInput && value > 0.015) shifts.push(value.toFixed(3) + ' ' + sources.map(place).join('; '));
    }
  }).observe({ type: 'layout-shift', buffered: true });
  // The page's script runs before DOMContentLoaded, and after this.
  document.addEventListener('readystatechange', () => {
    if (document.readyState !== 'interactive' || !location.pathname.startsWith('/sales/')) return;
    const text = (id) => document.getElementById(id).textContent.trim();
    new MutationObserver(() => {
      const isSoldOut = text('buy') === 'Sold out' || text('status') === 'Sold out';
      if (isSoldOut !== (text('stock') === '0')) contradictions.push(text('stock') + ' ' + text('status') + ' ' + text('buy'));
    }).observe(document.getElementById('main'), { subtree: true, childList: true, characterData: true });
    new MutationObserver(() => spoken.push(text('announcement')))
      .observe(document.getElementById('announcement'), { subtree: true, childList: true, characterData: true });
  });`;

test('a new buyer signs up, buys, and sees the order paid', async () => {
  const sale = await system.createSale({ name: 'A first lamp', stock: 5, limitPerBuyer: 2 });
  const page = await visit('/');
  await page.getByRole('link', { name: 'A first lamp' }).click();
  await sees(page, 'product-name', 'A first lamp');
  await sees(page, 'price', '€49.00');
  await canBuy(page, 'sign-in');

  await buys(page);
  await createAccount(page, { email: 'ada@example.com' });
  await sees(page, 'account', 'Ada');

  await canBuy(page, 'buy');
  await page.getByRole('button', { name: 'One more' }).click();
  await buys(page);
  await sees(page, 'order-status', 'Paid');
  await sees(page, 'stock', '3');
  await canBuy(page, 'paid');

  await page.getByRole('link', { name: 'My orders', exact: true }).click();
  await sees(page, 'order-status', 'Paid');
  await page.getByText('2 pieces').waitFor();
  await page.goBack();
  await sees(page, 'order-status', 'Paid');
  expect((await system.api('GET', `/api/sales/${sale.id}`)).body.stock).toBe(3);
});

test('an error of a sign-up is shown at its field', async () => {
  const { email } = await system.signUp();
  const page = await visit('/');
  await page.getByTestId('account').click();
  const form = await createAccount(page, { email: 'ada@example.com', password: 'x'.repeat(73) });
  await form.getByText('Please choose 8 to 72 characters.').waitFor();
  await form.getByLabel('Email').fill(email);
  await form.getByLabel('Password').fill('a long enough password');
  await form.getByRole('button', { name: 'Create account' }).click();
  await form.getByText('There is an account with this email').waitFor();
});

test('both tabs of one buyer show the order that one of them placed', async () => {
  const sale = await system.createSale({ stock: 9 });
  const buyer = await system.signUp();
  const one = await visit(`/sales/${sale.id}`, { as: buyer });
  const two = await one.context().newPage();
  await two.goto(`${system.url}/sales/${sale.id}`);
  await Promise.all([canBuy(one, 'buy'), canBuy(two, 'buy')]);

  // `force` clicks even if the second tab already knows of the first click.
  await Promise.all([one, two].map((page) => page.getByTestId('buy').click({ force: true })));
  await Promise.all([sees(one, 'order-status', 'Paid'), sees(two, 'order-status', 'Paid')]);
  expect(await ordersOf(buyer)).toHaveLength(1);
});

test('a double click places one order', async () => {
  const sale = await system.createSale({ stock: 9, limitPerBuyer: 5 });
  const buyer = await system.signUp();
  const page = await visit(`/sales/${sale.id}`, { as: buyer });
  await canBuy(page, 'buy');
  await page.getByTestId('buy').dblclick();
  await sees(page, 'order-status', 'Paid');
  await page.getByTestId('buy').dblclick({ force: true });
  await system.quiet();
  expect(await ordersOf(buyer)).toHaveLength(1);
});

test('the whole purchase works from the keyboard, and the focus stays on Buy', async () => {
  const sale = await system.createSale({ stock: 9, limitPerBuyer: 2 });
  const { email, password } = await system.signUp();
  const page = await visit(`/sales/${sale.id}`);
  const focused = page.locator(':focus');
  await canBuy(page, 'sign-in');
  await page.getByTestId('buy').focus();
  await page.keyboard.press('Enter');
  await page.keyboard.type(email);
  await page.keyboard.press('Tab');
  await page.keyboard.type(password);
  await page.keyboard.press('Enter');
  await canBuy(page, 'buy');
  expect(await focused.getAttribute('data-testid')).toBe('buy');
  await page.keyboard.press('Enter');
  await sees(page, 'order-status', 'Paid');
  expect(await focused.getAttribute('data-testid')).toBe('buy');
});

test('a reload during a purchase continues the same purchase', async () => {
  const sale = await system.createSale({ stock: 9, limitPerBuyer: 5 });
  const buyer = await system.signUp();
  const page = await visit(`/sales/${sale.id}`, { as: buyer });
  await canBuy(page, 'buy');
  // The purchase is accepted, but the answer never arrives.
  const keys: (string | undefined)[] = [];
  page.on('request', (request) => {
    if (request.method() === 'POST' && request.url().endsWith('/purchases')) {
      keys.push(request.headers()['idempotency-key']);
    }
  });
  let loseAnswer: () => void = () => {};
  const lost = new Promise<void>((resolve) => {
    loseAnswer = resolve;
  });
  await page.route(
    '**/purchases',
    async (route) => {
      await route.fetch();
      loseAnswer();
    },
    { times: 1 },
  );
  await buys(page);
  await lost;
  await page.reload();

  await sees(page, 'order-status', 'Paid');
  expect(new Set(keys).size).toBe(1);
  expect(keys.length).toBeGreaterThan(1);
  expect(await ordersOf(buyer)).toHaveLength(1);
});

test('the page of a busy shop retries by itself with the same key', async () => {
  const sale = await system.createSale({ stock: 9, limitPerBuyer: 5 });
  const buyer = await system.signUp();
  const page = await visit(`/sales/${sale.id}`, { as: buyer });
  await canBuy(page, 'buy');
  let refusals = 0;
  await page.route(
    '**/purchases',
    (route) => {
      refusals += 1;
      return refusals === 1 ? route.abort() : route.fulfill({ status: 503, headers: { 'Retry-After': '1' } });
    },
    { times: 2 },
  );
  await buys(page);
  await canBuy(page, 'busy');
  await sees(page, 'order-status', 'Paid');
  expect(refusals).toBe(2);
  expect(await ordersOf(buyer)).toHaveLength(1);
});

test('a purchase whose session ended continues after the buyer signs in again', async () => {
  const sale = await system.createSale({ stock: 9, limitPerBuyer: 5 });
  const buyer = await system.signUp();
  const page = await visit(`/sales/${sale.id}`, { as: buyer });
  await canBuy(page, 'buy');
  await page.route('**/purchases', (route) => route.fulfill({ status: 401 }), { times: 1 });
  await buys(page);
  await canBuy(page, 'sign-in');
  await buys(page);
  const form = page.getByTestId('sign-in-form');
  await form.getByLabel('Email').fill(buyer.email);
  await form.getByLabel('Password').fill(buyer.password);
  await form.getByRole('button', { name: 'Sign in' }).click();
  await sees(page, 'order-status', 'Paid');
  expect(await ordersOf(buyer)).toHaveLength(1);
});

test('the page sends an accepted order that the shop lost again with the same key', async () => {
  const sale = await system.createSale({ stock: 9 });
  const buyer = await system.signUp();
  const page = await visit(`/sales/${sale.id}`, { as: buyer });
  await canBuy(page, 'buy');
  const orderId = 'a-lost-order';
  const receipt = { status: 202, json: { orderId, status: 'queued' } };
  await page.route('**/purchases', (route) => route.fulfill(receipt), { times: 1 });
  await buys(page);
  await sees(page, 'order-status', 'Paid');
  expect(await ordersOf(buyer)).toHaveLength(1);
});

test('a sold-out sale shows it, and Buy comes back by itself when units are added', async () => {
  const sale = await system.createSale({ stock: 1 });
  const buyer = await system.signUp();
  const page = await visit(`/sales/${sale.id}`, { as: buyer });
  await canBuy(page, 'buy');
  await system.buy(sale.id, system.buyerToken());
  await canBuy(page, 'sold-out');
  await sees(page, 'stock', '0');
  await sees(page, 'status', 'Sold out');

  await system.changeSale(sale.id, { addStock: 4 });
  await canBuy(page, 'buy');
  await sees(page, 'stock', '4');
  await sees(page, 'toast', 'Units are back');
  await buys(page);
  await sees(page, 'order-status', 'Paid');
});

test('a buyer who comes too late sees that they pay nothing', async () => {
  const sale = await system.createSale({ stock: 1 });
  const buyer = await system.signUp();
  const page = await visit(`/sales/${sale.id}`, { as: buyer });
  await canBuy(page, 'buy');
  const release = await holdPurchases(page);
  await buys(page);
  await canBuy(page, 'sending');
  await system.buy(sale.id, system.buyerToken());
  release();
  await sees(page, 'order-status', 'Not accepted');
  await page.getByText('others were a moment faster').waitFor();
  await canBuy(page, 'sold-out');
  expect(await ordersOf(buyer)).toEqual([]);
});

test('the limit bounds the quantity, and is shown when another tab reached it', async () => {
  const sale = await system.createSale({ stock: 50, limitPerBuyer: 2 });
  const buyer = await system.signUp();
  const page = await visit(`/sales/${sale.id}`, { as: buyer });
  await canBuy(page, 'buy');
  await page.getByTestId('quantity').fill('40');
  expect(await page.getByTestId('quantity').inputValue()).toBe('2');
  const release = await holdPurchases(page);
  await buys(page);
  await system.buy(sale.id, buyer.token);
  release();
  await page.getByText('more than one buyer may have').waitFor();
});

test('three sizes sell out one by one in an open tab, and what was bought is in My orders', async () => {
  const sale = await system.createSale({ sizes: { S: 1, M: 2, L: 1 }, limitPerBuyer: 3 });
  const page = await visit('/healthz', { as: await system.signUp(), width: 390 });
  await page.addInitScript(watchForFaults);
  await page.goto(`${system.url}/sales/${sale.id}`);
  await canBuy(page, 'choose');
  const size = (label: string) => page.getByRole('radio', { name: label });
  await buys(page);
  expect(await page.locator(':focus').getAttribute('value')).toBe('1');
  await page.keyboard.press('ArrowRight');
  expect(await size('M').isChecked()).toBe(true);
  await canBuy(page, 'buy');
  // Layout shifts within half a second of an input are not reported, so the answer takes longer.
  await page.route('**/purchases', async (route) => {
    await delay(800);
    await route.continue();
  });
  await buys(page);
  await sees(page, 'order-status', 'Paid');
  await sees(page, 'order-lines', '1 × M€49.00');
  await sees(page, 'item-2', /1 left/);

  await sells(sale.id, '1');
  await sees(page, 'item-1', /Sold out/);
  expect(await size('S').isDisabled()).toBe(true);
  await size('L').check();
  await canBuy(page, 'buy');
  await sells(sale.id, '3');
  await canBuy(page, 'choose-another');
  await page.locator('#buy-note').filter({ hasText: 'L has sold out. Still there: M.' }).waitFor();
  expect(await size('L').isChecked()).toBe(true);
  await sells(sale.id, '2');
  await canBuy(page, 'sold-out');
  await sees(page, 'stock', '0');

  expect(await page.evaluate('contradictions')).toEqual([]);
  expect(await page.evaluate('shifts')).toEqual([]);
  const spoken = await page.evaluate<string[]>('spoken');
  expect(spoken.filter((text) => text.includes('L has sold out'))).toHaveLength(1);
  expect(spoken.filter((text) => text.includes('left'))).toEqual([
    'On now. 4 of 4 left',
    'Sold out. 0 of 4 left',
  ]);
  expect(await page.evaluate('performance.getEntriesByType("navigation")[0].type')).toBe('navigate');

  await page.getByRole('link', { name: 'My orders', exact: true }).click();
  await sees(page, 'order-lines', '1 × M');
  await page.getByText('€49.00').waitFor();
});

test('a reload during the purchase of a size goes on with the same size', async () => {
  const sale = await system.createSale({ sizes: { S: 5, M: 5 }, limitPerBuyer: 3 });
  const buyer = await system.signUp();
  const page = await visit(`/sales/${sale.id}`, { as: buyer });
  await page.getByRole('radio', { name: 'M' }).check();
  await page.getByRole('button', { name: 'One more' }).click();
  await page.reload();
  expect(await page.getByRole('radio', { name: 'M' }).isChecked()).toBe(true);
  await page.getByRole('button', { name: 'One more' }).click();
  const release = await holdPurchases(page);
  await buys(page);
  await sees(page, 'order-lines', '2 × M€98.00');
  const other = await page.context().newPage();
  await other.goto(`${system.url}/sales/${sale.id}`);
  await sees(other, 'order-lines', '2 × M€98.00');
  await page.reload();
  release();
  await sees(page, 'order-status', 'Paid');
  await sees(other, 'order-status', 'Paid');
  const orders = await ordersOf(buyer);
  expect(orders).toMatchObject([{ lines: [{ itemId: '2', label: 'M', quantity: 2, amount: 9_800 }] }]);
});

test('a page whose buyer came too late shows no units above “Sold out”, though the others’ are not settled', async () => {
  const sale = await system.createSale({ stock: 5, limitPerBuyer: 5 });
  const page = await visit('/healthz', { as: await system.signUp() });
  await page.addInitScript(watchForFaults);
  await page.goto(`${system.url}/sales/${sale.id}`);
  await canBuy(page, 'buy');
  const { pid } = system.workers[0] as TestSystem['workers'][number];
  process.kill(pid, 'SIGSTOP');
  try {
    await system.buy(sale.id, system.buyerToken(), { quantity: 5 });
    await buys(page);
    await sees(page, 'order-status', 'Not accepted');
    await canBuy(page, 'sold-out');
    await sees(page, 'stock', '0');
  } finally {
    process.kill(pid, 'SIGCONT');
  }
  await system.quiet();
  await canBuy(page, 'sold-out');
  expect(await page.evaluate('contradictions')).toEqual([]);
});

test('a watching page shows pause and resume', async () => {
  const sale = await system.createSale({ stock: 5 });
  const page = await visit(`/sales/${sale.id}`, { as: await system.signUp() });
  await canBuy(page, 'buy');
  await system.changeSale(sale.id, { paused: true });
  await canBuy(page, 'paused');
  await sees(page, 'status', 'Paused');
  await system.changeSale(sale.id, { paused: false });
  await canBuy(page, 'buy');
});

test('the page opens and ends the sale by its clock, without a message', async () => {
  const later = { opensAt: new Date(Date.now() + 3_600_000), closesAt: new Date(Date.now() + 7_200_000) };
  const sale = await system.createSale({ stock: 5, ...later });
  const page = await visit(`/sales/${sale.id}`, { as: await system.signUp() });
  await canBuy(page, 'soon');
  const opensAt = new Date(Date.now() + 2_500);
  const closesAt = new Date(Date.now() + 6_500);
  await system.changeSale(sale.id, { opensAt, closesAt });
  await sees(page, 'countdown', /00:00:0[1-5]/);
  await canBuy(page, 'buy');
  expect(Date.now()).toBeGreaterThanOrEqual(opensAt.getTime());
  await buys(page);
  await sees(page, 'order-status', 'Paid');
  await sees(page, 'status', 'Ended');
  expect(Date.now()).toBeGreaterThanOrEqual(closesAt.getTime());
});

test('a lost connection is shown, and changes made meanwhile appear after the reconnect', async () => {
  const sale = await system.createSale({ stock: 5 });
  const page = await visit(`/sales/${sale.id}`, { as: await system.signUp() });
  await canBuy(page, 'buy');
  await page.context().setOffline(true);
  await sees(page, 'banner', /Connection lost/);
  await canBuy(page, 'offline');
  const { body } = await system.buy(sale.id, system.buyerToken());
  expect(body.orderId).toBeTruthy();
  await system.quiet();
  await page.context().setOffline(false);
  await sees(page, 'stock', '4');
  await page.getByTestId('banner').waitFor({ state: 'hidden' });
  await canBuy(page, 'buy');
});

test('a connection lost during its handshake is shown too', async () => {
  const sale = await system.createSale({ stock: 5 });
  const page = await browser.page();
  // The page takes a handshake for lost after eight seconds of its own clock.
  await page.clock.install();
  let attempts = 0;
  await page.routeWebSocket(/socket\.io/, (socket) => {
    attempts += 1;
    if (attempts > 1) socket.connectToServer();
  });
  await page.goto(`${system.url}/sales/${sale.id}`);
  await canBuy(page, 'sign-in');
  await expect.poll(() => attempts).toBe(1);
  await page.context().setOffline(true);
  await page.clock.fastForward(8_000);
  await sees(page, 'banner', /Connection lost/);
  await page.context().setOffline(false);
  await page.getByTestId('banner').waitFor({ state: 'hidden' });
});

test('a page whose socket client could not be loaded works, says so, and tries again', async () => {
  const sale = await system.createSale({ stock: 5 });
  const page = await browser.page();
  await page.route('**/socket-client.js', (route) => route.abort());
  await page.goto(`${system.url}/sales/${sale.id}`);
  await sees(page, 'banner', /Connection lost/);
  await page.getByTestId('banner').waitFor({ state: 'hidden' });
  await canBuy(page, 'sign-in');
});

test('a visitor whose token expired goes on watching', async () => {
  const sale = await system.createSale({ stock: 5 });
  const page = await browser.page();
  await page.addInitScript(
    "sessionStorage.done ?? localStorage.setItem('stampede.visitor', 'ran.out'); sessionStorage.done = 1",
  );
  await page.goto(`${system.url}/sales/${sale.id}`);
  await canBuy(page, 'sign-in');
  await system.buy(sale.id, system.buyerToken());
  await sees(page, 'stock', '4');
  expect(await page.getByTestId('banner').isHidden()).toBe(true);
});

test('an ended session asks to sign in again and keeps the page watching', async () => {
  const sale = await system.createSale({ stock: 5 });
  const { user } = await system.signUp();
  const page = await visit(`/sales/${sale.id}`, { as: { user, token: 'not.a.token' } });
  await sees(page, 'toast', 'Your session is over. Please sign in again.');
  await canBuy(page, 'sign-in');
  await system.buy(sale.id, system.buyerToken());
  await sees(page, 'stock', '4');
});

test('HTML in a name is shown as text', async () => {
  const name = '<img src=x onerror="document.title=1"><b>Bold</b>';
  const sale = await system.createSale({ name });
  const page = await visit(`/sales/${sale.id}`);
  await page.getByRole('heading', { name, exact: true }).waitFor();
  expect(await page.title()).toContain(name);
  await page.goto(system.url);
  await page.getByRole('link', { name, exact: true }).waitFor();
});

test('a name and a description that are read from right to left are written so', async () => {
  const { product, id } = await system.createSale({ name: 'مصباح نحاسي قديم.' });
  const { products } = system.store.collections;
  await products.updateOne({ _id: product.id }, { $set: { description: 'مصنوع يدويا.' } });
  for (const [path, ...names] of [
    ['/', `.card a[href="/sales/${id}"]`],
    [`/sales/${id}`, '#name', '#description'],
    [`/ticker/${id}`, '#name'],
  ] as const) {
    const page = await visit(path);
    await page.getByText('مصباح').first().waitFor();
    for (const name of names) {
      const direction = await page.evaluate(
        `getComputedStyle(document.querySelector(${JSON.stringify(name)})).direction`,
      );
      expect(direction, `${path} ${name}`).toBe('rtl');
    }
  }
});

test('on a phone nothing is wider than the screen, and the layout does not shift', async () => {
  const name = 'Alampwithanamethatislongandhasnospacesatall in smoked glass, numbered by hand';
  const sale = await system.createSale({ name, limitPerBuyer: 3 });
  const buyer = await system.signUp();
  await system.settled((await system.buy(sale.id, buyer.token)).body.orderId, buyer.token);
  const page = await visit('/healthz', { as: buyer, width: 390 });
  await page.addInitScript(`
    globalThis.shifted = 0;
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) globalThis.shifted += entry.value;
    }).observe({ type: 'layout-shift', buffered: true });`);
  for (const path of ['/', `/sales/${sale.id}`, '/orders']) {
    await page.goto(system.url + path);
    await page.getByText(name).first().waitFor();
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(390);
    expect(await page.evaluate('globalThis.shifted'), path).toBeLessThan(0.02);
  }

  // With letters twice as large, in the language with the longest words, where the buyer has signed in or not.
  for (const as of [buyer, null]) {
    const viewport = { width: 390, height: 844 };
    const large = await browser.page({ as, locale: 'de-DE', viewport, reducedMotion: 'reduce' });
    for (const path of ['/', `/sales/${sale.id}`, '/orders', '/account']) {
      await large.goto(system.url + path);
      await large
        .locator('#sign-in:visible, [data-testid=sessions], .buy[data-state], .card, .order-line')
        .first()
        .waitFor();
      await large.evaluate("document.documentElement.style.fontSize = '200%'");
      expect(await large.evaluate('document.documentElement.scrollWidth'), path).toBe(390);
      const cut = await large.evaluate(`[...document.querySelectorAll('h1, .primary, .account, .order-end')]
        .filter(({ scrollWidth, clientWidth }) => scrollWidth > clientWidth).map(({ textContent }) => textContent)`);
      expect(cut, path).toEqual([]);
      const onTop = await large.evaluate(`(() => {
        const [brand, nav] = ['.brand', '.site-header nav'].map((one) => document.querySelector(one).getBoundingClientRect());
        const width = document.querySelector('.brand span').getBoundingClientRect().right - nav.left;
        return brand.bottom > nav.top && width > 0;
      })()`);
      expect(onTop, path).toBe(false);
    }
    await large.context().close();
  }
});

test('a sale that does not exist is shown as missing', async () => {
  const page = await visit('/sales/there-is-none');
  await page.getByText('There is no such sale.').waitFor();
});

/** Waits until the servers have this many sockets; `expected` is in ascending order. */
const socketsAre = (expected: number[]) =>
  waitUntil(
    async () => {
      const answers = await Promise.all(
        system.servers.map(({ url }) => system.api('GET', '/metrics', { at: url })),
      );
      const sockets = answers.map(({ body }) => valueIn(readSamples(body), 'stampede_sockets'));
      return isDeepStrictEqual(sockets.sort(), expected);
    },
    { deadlineMs: 15_000, what: `the servers have ${expected} sockets` },
  );

// Last in this file, because the killed server is not restarted.
test('tabs on two instances show the same stock, and a killed instance’s tab reconnects to the other', async () => {
  const sale = await system.createSale({ stock: 9 });
  // nginx uses least_conn: the second tab connects to the instance that the first one is not on.
  await socketsAre([0, 0]);
  const first = await visit(`/sales/${sale.id}`);
  await socketsAre([0, 1]);
  const pages = [first, await visit(`/sales/${sale.id}`)];
  await socketsAre([1, 1]);
  for (const left of ['8', '7']) {
    await system.buy(sale.id, system.buyerToken());
    await Promise.all(pages.map((page) => sees(page, 'stock', left)));
  }

  // Observed rather than polled for, because a tab reconnects after a quarter of a second already.
  for (const page of pages)
    await page.evaluate(`
      const banner = document.querySelector('.banner');
      globalThis.lostConnection = new Promise((resolve) => {
        new MutationObserver(() => banner.textContent.includes('Connection lost') && resolve())
          .observe(banner, { childList: true, characterData: true, subtree: true });
      });
      undefined`);
  const losses = pages.map(async (page) => {
    await page.evaluate('globalThis.lostConnection');
    return page;
  });
  const victim = system.servers[1];
  if (!victim) throw new Error('expected two servers');
  process.kill(victim.pid, 'SIGKILL');
  const hurt = await Promise.race(losses);
  const unhurt = pages.find((page) => page !== hurt) as Page;
  await hurt.getByTestId('banner').waitFor({ state: 'hidden' });
  expect(await unhurt.getByTestId('banner').isHidden()).toBe(true);

  await system.buy(sale.id, system.buyerToken());
  await Promise.all(pages.map((page) => sees(page, 'stock', '6')));
  await Promise.all(pages.map((page) => page.context().close()));
  await Promise.allSettled(losses);
});
