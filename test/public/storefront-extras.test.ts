import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { type OpenBrowser, openBrowser } from '../support/browser.ts';
import { startSystem, type TestSystem } from '../support/harness.ts';

let system: TestSystem;
let browser: OpenBrowser;

beforeAll(async () => {
  [system, browser] = await Promise.all([startSystem(), openBrowser()]);
});
afterEach(() => browser.closePages());
afterAll(async () => {
  await browser.close();
  await system.close();
});

async function visit(path: string, options?: Parameters<OpenBrowser['page']>[0]): Promise<Page> {
  const page = await browser.page(options);
  await page.goto(new URL(path, system.url).href);
  return page;
}
const sees = (page: Page, testId: string, text: string | RegExp) =>
  page.getByTestId(testId).filter({ hasText: text }).first().waitFor();

test('a page shows the number of people on both instances', async () => {
  const sale = await system.createSale();
  const first = await visit(`/sales/${sale.id}`);
  await sees(first, 'people', '1 person is here');
  const second = await visit(`/sales/${sale.id}`);
  // nginx uses least_conn, so the two sockets are on different instances.
  await Promise.all([first, second].map((page) => sees(page, 'people', '2 people are here')));
  await second.context().close();
  await sees(first, 'people', '1 person is here');
});

test('sold, cancelled and added units are shown as recent events', async () => {
  const sale = await system.createSale({ stock: 9, limitPerBuyer: 5 });
  const page = await visit(`/sales/${sale.id}`, { viewport: { width: 390, height: 844 } });
  await sees(page, 'people', 'here');
  const token = system.buyerToken();
  const { body } = await system.buy(sale.id, token, { quantity: 3 });
  await sees(page, 'recent-event', /^3 pieces sold · /);
  await system.settled(body.orderId, token);
  await system.api('DELETE', `/api/orders/${body.orderId}`, { token });
  await sees(page, 'recent-event', /^3 pieces back on sale · /);
  const recent = page.getByTestId('recent-event');
  expect(await recent.evaluate((line) => line.scrollWidth - line.clientWidth)).toBe(0);
  await system.changeSale(sale.id, { addStock: 1 });
  await sees(page, 'recent-event', /^1 piece added · /);
});

test('the list of sales is updated by socket: stock, a pause, and a new sale', async () => {
  const sale = await system.createSale({ name: 'A listed lamp', stock: 7 });
  const page = await visit('/');
  const card = page.getByRole('listitem').filter({ hasText: 'A listed lamp' });
  await card.filter({ hasText: '7 of 7 left' }).waitFor();
  await page.waitForLoadState('networkidle');
  await system.buy(sale.id, system.buyerToken());
  await card.filter({ hasText: '6 of 7 left' }).waitFor();
  await system.changeSale(sale.id, { paused: true });
  await card.filter({ hasText: 'Paused' }).waitFor();
  await system.createSale({ name: 'A lamp that came later' });
  await page.getByRole('link', { name: 'A lamp that came later' }).waitFor();
});

test.each([
  ['de-AT', 'Anmelden und kaufen', '€ 49,00', 'de'],
  ['fr-FR', 'Se connecter pour acheter', '49,00 €', 'fr'],
  ['ja-JP', 'Sign in to buy', '€49.00', 'en'],
])('a reader of %s reads %s', async (locale, button, price, language) => {
  const sale = await system.createSale();
  const page = await visit(`/sales/${sale.id}`, { locale });
  await sees(page, 'buy', button);
  const shown = await page.getByTestId('price').textContent();
  expect(shown?.replace(/\s/g, ' ')).toBe(price);
  expect(await page.evaluate('document.documentElement.lang')).toBe(language);
});

test('several pictures make a gallery, and a lower price shows the old one', async () => {
  const images = ['/images/demo-product.svg', '/favicon.svg'];
  const asAdmin = { token: system.adminToken };
  const { body: product } = await system.api('POST', '/api/products', {
    ...asAdmin,
    body: { name: 'A radio', images },
  });
  const { body: sale } = await system.api('POST', '/api/sales', {
    ...asAdmin,
    body: {
      productId: product.id,
      price: { amount: 7_500, currency: 'EUR' },
      oldAmount: 10_000,
      stock: 1,
      opensAt: new Date(),
      closesAt: new Date(Date.now() + 3_600_000),
    },
  });
  const page = await visit(`/sales/${sale.id}`);
  await sees(page, 'old-price', /€100\.00.*-25%/);
  await page.getByRole('button', { name: 'Picture 2' }).click();
  expect(await page.locator('#image').getAttribute('src')).toBe('/favicon.svg');
});

test('a held order says until when, and an expired one that it was not paid', async () => {
  const { product, opensAt, closesAt } = await system.createSale({ name: 'A lamp on hold' });
  const price = { amount: 4_900, currency: 'EUR' };
  const body = { productId: product.id, price, stock: 5, opensAt, closesAt, paymentWindowSeconds: 600 };
  const { body: sale } = await system.api('POST', '/api/sales', { token: system.adminToken, body });
  const buyer = await system.signUp();
  const { orderId } = (await system.buy(sale.id, buyer.token)).body;
  expect((await system.settled(orderId, buyer.token)).status).toBe('held');
  const texts: [string, string, string][] = [
    ['en-GB', 'If it is not paid by then', 'It was not paid in time'],
    ['de-DE', 'Ist sie bis dahin nicht bezahlt', 'Sie wurde nicht rechtzeitig bezahlt'],
    ['fr-FR', 'Si elle n’est pas payée d’ici là', 'Elle n’a pas été payée à temps'],
  ];
  for (const [locale, held, expired] of texts) {
    const { orders } = system.store.collections;
    await orders.updateOne({ _id: orderId }, { $set: { status: 'held' } });
    const page = await visit(`/sales/${sale.id}`, {
      as: buyer,
      locale,
      viewport: { width: 390, height: 844 },
    });
    await page.getByText(held).waitFor();
    await page.goto(`${system.url}/orders/${orderId}`);
    await page.getByText(held).waitFor();
    await page.goto(`${system.url}/orders`);
    await page.locator('.hold').waitFor();
    await orders.updateOne({ _id: orderId }, { $set: { status: 'expired' } });
    await page.reload();
    await page.getByText(expired).waitFor();
  }
  await system.store.collections.orders.updateOne({ _id: orderId }, { $set: { status: 'held' } });
});

test('a page is shown where the browser blocks storage', async () => {
  const sale = await system.createSale({ name: 'A lamp without storage', stock: 4 });
  const page = await browser.page();
  await page.addInitScript(() => {
    for (const name of ['localStorage', 'sessionStorage'])
      Object.defineProperty(globalThis, name, {
        get() {
          throw new DOMException('blocked', 'SecurityError');
        },
      });
  });
  await page.goto(`${system.url}/sales/${sale.id}`);
  await sees(page, 'product-name', 'A lamp without storage');
  await sees(page, 'people', 'here');
});

test('a page whose data did not load asks again by itself while it is connected', async () => {
  const sale = await system.createSale({ name: 'A lamp for the desk' });
  const buyer = await system.signUp();
  const { orderId } = (await system.buy(sale.id, buyer.token)).body;
  await system.settled(orderId, buyer.token);
  const saleApi = `/api/sales/${sale.id}`;
  const places: [path: string, away: string[], says: string][] = [
    ['/orders', ['/api/orders'], 'Trying again…'],
    // An order whose sale did not load is told by its number.
    ['/orders', ['/api/sales', saleApi], `Order ${orderId.slice(0, 8)}`],
    [`/orders/${orderId}`, [saleApi], 'Your order'],
    ['/account', ['/api/account'], 'Trying again…'],
    [`/ticker/${sale.id}`, [saleApi], 'Trying again…'],
    // These have what the server has put into them.
    ['/', ['/api/sales'], ''],
    [`/sales/${sale.id}`, [saleApi, '/api/orders'], ''],
  ];
  const asksAgain = async ([path, away, says]: (typeof places)[number]) => {
    const page = await browser.page({ as: buyer });
    let isAway = true;
    const isOf = (url: URL) => away.includes(url.pathname);
    await page.route(isOf, (route) => (isAway ? route.fulfill({ status: 503, json: {} }) : route.continue()));
    const socket = path === '/account' ? null : page.waitForEvent('websocket');
    await page.goto(system.url + path);
    await (await socket)?.waitForEvent('framereceived');
    // What the page asks because it is connected fails as well.
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    await page.getByText(says).filter({ visible: true }).first().waitFor();
    expect(await page.getByText('A sale of the past').count(), path).toBe(0);
    const answers = away.map((api) =>
      page.waitForResponse((response) => new URL(response.url()).pathname === api && response.ok()),
    );
    isAway = false;
    // The list of sales names this one, which is then not asked for.
    await (path === '/orders' ? Promise.any(answers) : Promise.all(answers));
    await page.getByText('Trying again…').filter({ visible: true }).waitFor({ state: 'hidden' });
    if (path !== '/account') await page.getByText('A lamp for the desk').first().waitFor();
    await page.context().close();
  };
  for (let n = 0; n < places.length; n += 4) await Promise.all(places.slice(n, n + 4).map(asksAgain));
}, 90_000);

test('the first load transfers less than 100 kB', async () => {
  const sale = await system.createSale();
  for (const path of ['/', `/sales/${sale.id}`]) {
    const page = await browser.page();
    const sizes: Promise<number>[] = [];
    page.on('requestfinished', (request) => {
      sizes.push(
        request
          .sizes()
          .then(({ responseBodySize, responseHeadersSize }) => responseBodySize + responseHeadersSize),
      );
    });
    await page.goto(system.url + path, { waitUntil: 'networkidle' });
    const bytes = (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
    expect(bytes, path).toBeLessThan(100_000);
  }
});

test('the ticker shows the stock and recent events', async () => {
  const sale = await system.createSale({ name: 'A lamp for the wall', stock: 4 });
  const page = await visit(`/ticker/${sale.id}`);
  await sees(page, 'product-name', 'A lamp for the wall');
  await sees(page, 'people', 'here');
  await system.buy(sale.id, system.buyerToken());
  await sees(page, 'stock', /^3$/);
  await sees(page, 'recent-events', '1 piece sold');
});

test('the list, the ticker, the embedded stock and the control room show each of several items', async () => {
  const asAdmin = { token: system.adminToken };
  const { body: product } = await system.api('POST', '/api/products', {
    ...asAdmin,
    body: { name: 'A shoe' },
  });
  const item = (label: string, amount: number, stock: number) => {
    return { productId: product.id, label, price: { amount, currency: 'EUR' }, stock };
  };
  const { body: sale } = await system.api('POST', '/api/sales', {
    ...asAdmin,
    body: {
      items: [item('EU 41', 12_900, 1), item('EU 42', 11_900, 3)],
      limitPerBuyer: 3,
      opensAt: new Date(Date.now() - 60_000),
      closesAt: new Date(Date.now() + 3_600_000),
    },
  });
  const list = await visit('/');
  const card = list.getByRole('listitem').filter({ hasText: 'A shoe' });
  await card.filter({ hasText: 'from €119.00' }).waitFor();
  const ticker = await visit(`/ticker/${sale.id}`);
  await sees(ticker, 'items', 'EU 41 1');
  const embedded = await visit('/embed.html');
  await embedded.locator(`stampede-stock[sale="${sale.id}"]`).getByText('4 left').waitFor();

  const token = system.buyerToken();
  const lines = [
    { itemId: '1', quantity: 1 },
    { itemId: '2', quantity: 1 },
  ];
  const bought = await system.buy(sale.id, token, { lines });
  await system.settled(bought.body.orderId, token);
  await card.locator('s').filter({ hasText: 'EU 41 Sold out' }).waitFor();
  await sees(ticker, 'items', 'EU 41 0');
  await sees(ticker, 'items', 'EU 42 2');
  await embedded
    .locator(`stampede-stock[sale="${sale.id}"] s`)
    .filter({ hasText: 'EU 41 Sold out' })
    .waitFor();

  const user = { id: 'test-admin', role: 'admin', name: 'Ada', email: 'a@example.com' };
  const room = await visit(`/admin#sale/${sale.id}`, { as: { user, ...asAdmin } });
  await sees(room, 'items', /EU 410 of 1€129\.001.*\d\d:\d\d.*EU 42/);
});

test('charts and the puzzle of an embedded Buy that did not load say so, and load when asked again', async () => {
  const user = { id: 'test-admin', role: 'admin', name: 'Ada', email: 'a@example.com' };
  const room = await browser.page({ as: { user, token: system.adminToken } });
  await room.route('**/*uPlot.esm*', (route) => route.abort());
  await room.goto(`${system.url}/admin`);
  const again = room.getByRole('button', { name: 'Try again' });
  await again.first().waitFor();
  await room.getByText('The chart did not load').first().waitFor();
  await sees(room, 'tile-alive', /[1-9]/);
  const failed = room.waitForEvent('requestfailed');
  await again.first().click();
  await failed;
  await room.unroute('**/*uPlot.esm*');
  // All charts are drawn, once one has loaded what draws them.
  const missing = async () => {
    await again
      .first()
      .click({ timeout: 500 })
      .catch(() => {});
    return await room.locator('.missing-plot').count();
  };
  await expect.poll(missing, { timeout: 30_000, interval: 500 }).toBe(0);
  expect(await room.locator('.chart canvas').count()).toBe(await room.locator('.chart').count());

  const { id } = await system.createSale({ stock: 2 });
  await system.changeSale(id, { proofOfWork: { bits: 8 } });
  const page = await visit('/embed.html');
  await page.route('**/sale/proof-of-work.js*', (route) => route.abort());
  await page.evaluate(`import('/buy.js').then(() => {
    const buy = Object.assign(document.createElement('stampede-buy'), { token: '${system.buyerToken()}' });
    buy.setAttribute('sale', '${id}');
    document.body.append(buy);
  })`);
  const buy = page.locator('stampede-buy');
  await buy.getByRole('button', { name: 'Buy' }).click();
  await buy.getByText('A part of the shop did not load.').waitFor();
  await page.unroute('**/sale/proof-of-work.js*');
  await buy.getByRole('button', { name: 'Buy' }).click();
  await buy.getByText('It is yours.').waitFor();
  const orders = await system.store.collections.orders.countDocuments({ saleId: id });
  expect(orders).toBe(1);
});

test('another site can embed the stock, and can read nothing else', async () => {
  const sale = await system.createSale({ name: 'A lamp elsewhere', stock: 8 });
  const html = `<!doctype html><title>Elsewhere</title>
    <script type="module" src="${system.url}/embed.js"></script>
    <stampede-stock sale="${sale.id}"></stampede-stock>
    <stampede-stock lang="x-default" sale="there-is-none"></stampede-stock>`;
  const elsewhere = createServer((_request, response) =>
    response.setHeader('Content-Type', 'text/html').end(html),
  );
  await new Promise<void>((resolve) => elsewhere.listen(0, '127.0.0.1', resolve));
  try {
    const page = await browser.page();
    await page.goto(`http://127.0.0.1:${(elsewhere.address() as AddressInfo).port}/`);
    await page.getByText('A lamp elsewhere').waitFor();
    await page.getByText('8 left').waitFor();
    await system.buy(sale.id, system.buyerToken());
    await page.getByText('7 left').waitFor();
    await page.getByText('There is no such sale.').waitFor();
    expect(await page.locator('[sale="there-is-none"] .bar').isVisible()).toBe(false);
    const other = `fetch('${system.url}/api/sales').then(() => 'read', () => 'refused')`;
    expect(await page.evaluate(other)).toBe('refused');
  } finally {
    elsewhere.close();
  }
});
