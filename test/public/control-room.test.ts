import { readFile } from 'node:fs/promises';
import type { Download, Page } from 'playwright-core';
import sharp from 'sharp';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import type { LiveFigures, SaleReport } from '../../insight/contract.ts';
import { waitUntil } from '../../ops/local/processes/process.mjs';
import { localText } from '../../public/admin/local-time.js';
import { settledWithinMs, statesOf } from '../../public/admin/now/queue-states.js';
import { german as germanRoom } from '../../public/admin/texts/de.js';
import { english as englishRoom } from '../../public/admin/texts/en.js';
import { french as frenchRoom } from '../../public/admin/texts/fr.js';
import { german } from '../../public/texts/de.js';
import { english } from '../../public/texts/en.js';
import { french } from '../../public/texts/fr.js';
import { type OpenBrowser, openBrowser } from '../support/browser.ts';
import { bullOf } from '../support/bull.ts';
import { startSystem, type TestSystem } from '../support/harness.ts';
import { isSentence, leavesOf } from '../support/texts.ts';

let system: TestSystem;
let browser: OpenBrowser;
/** Errors that pages threw; every test must end without any. */
const thrown: string[] = [];

beforeAll(async () => {
  const env = { ROOM_PASS_KEYS: `first:${'k'.repeat(40)}` };
  [system, browser] = await Promise.all([startSystem({ env }), openBrowser()]);
});
afterEach(async () => {
  await browser.closePages();
  expect(thrown.splice(0)).toEqual([]);
});
afterAll(async () => {
  await browser.close();
  await system.close();
});

const adminSession = () => {
  const user = { id: 'test-admin', role: 'admin', name: 'Ada', email: 'admin@example.com' };
  return { user, token: system.adminToken };
};

/** Opens the control room as an admin. */
async function enter(hash = '', locale = 'en-GB'): Promise<Page> {
  const page = await browser.page({ as: adminSession(), locale, viewport: { width: 1_280, height: 900 } });
  page.on('pageerror', ({ message }) => thrown.push(message));
  page.on('console', (message) => {
    const isOurs = new URL(page.url()).pathname === '/admin';
    if (isOurs && message.text().includes('Content Security Policy')) thrown.push(message.text());
  });
  await page.goto(`${system.url}/admin${hash}`);
  return page;
}

const asAdmin = () => ({ token: system.adminToken });
const live = async (since = '') =>
  (await system.api<LiveFigures>('GET', `/api/admin/live${since}`, asAdmin())).body;
const textOf = async (download: Download) => readFile(await download.path(), 'utf8');
const aPicture = (color: string, width = 400) =>
  sharp({ create: { width, height: width * 0.75, channels: 3, background: color } })
    .jpeg()
    .toBuffer();

test('an admin creates a product with a picture, puts it on sale, runs the sale and reads its report', async () => {
  const page = await enter('#products');
  await page.getByTestId('new-product').click();
  const product = page.getByTestId('form');
  await product.getByLabel('Name').fill('Aurora Two');
  await product.getByLabel('Description').fill('A smaller radio.');
  const colors = ['tomato', 'teal', 'gold'];
  const files = colors.map(async (color) => {
    return { name: `${color}.jpg`, mimeType: 'image/jpeg', buffer: await aPicture(color) };
  });
  const broken = { name: 'broken.jpg', mimeType: 'image/jpeg', buffer: Buffer.from('no picture') };
  await product.getByLabel('Add pictures').setInputFiles([...(await Promise.all(files)), broken]);
  const pictures = page.getByTestId('pictures').getByRole('img');
  await product.getByRole('alert').filter({ hasText: 'broken.jpg: ' }).waitFor();
  const order = () => pictures.evaluateAll((all) => all.map((one) => one.getAttribute('src')));
  const [first, second, third] = await order();
  await page.getByRole('button', { name: 'Move picture 3 forward' }).press('Enter');
  expect(await order()).toEqual([first, third, second]);
  // The focus stays on the button of the picture that moved.
  await page.keyboard.press('Enter');
  expect(await order()).toEqual([third, first, second]);
  await page.getByTestId('pictures').getByRole('listitem').nth(2).dragTo(pictures.first());
  expect(await order()).toEqual([second, third, first]);
  await page.getByRole('button', { name: 'Remove picture 3' }).click();
  await product.getByRole('button', { name: 'Save' }).click();
  await page.getByTestId('products').getByText('Aurora Two').waitFor();

  await page.getByRole('link', { name: 'Sales', exact: true }).nth(1).click();
  await page.getByTestId('new-sale').click();
  const sale = page.getByTestId('form');
  await sale.getByLabel('Price', { exact: true }).fill('129.50');
  await sale.getByLabel('Old price').fill('199');
  await sale.getByLabel('Units').fill('5');
  await sale.getByLabel('Opens').fill(localText(Date.now() - 3_600_000, 'UTC'));
  await sale.getByLabel('Time to pay').selectOption('15 minutes');
  await sale.locator('[name=audience]').selectOption('only confirmed addresses');
  await sale.getByLabel('Buyers can cancel').selectOption('never, only the shop cancels');
  await sale.getByRole('button', { name: 'Save' }).click();
  await sale.getByLabel('This time has passed.').check();
  await sale.getByRole('button', { name: 'Save' }).click();
  await page.getByTestId('draft-terms').getByText('€129.50 each, €199.00 before, 5 units').waitFor();

  await page
    .getByTestId('draft-terms')
    .getByText('within 15 minutes, or the units go back on sale')
    .waitFor();
  await page.getByTestId('draft-terms').getByText('only by the shop').waitFor();
  await page.getByRole('button', { name: 'Edit' }).click();
  await sale.getByLabel('Time to pay').selectOption('not here: every order counts as paid');
  await sale.locator('[name=audience]').selectOption('everybody with an account');
  await sale.getByLabel('Given out').selectOption('by a draw among all who enter');
  await sale.getByLabel('Draw at').fill(localText(Date.now() - 7_200_000, 'UTC'));
  await sale.getByRole('button', { name: 'Save' }).click();
  await sale.getByText('Draw at: expected a time after the opening and before the end').waitFor();
  await sale.getByLabel('Given out').selectOption('to those who press first');
  await sale.getByLabel('What comes back').selectOption('offered to a waiting list, in turn');
  await sale.locator('[name=puzzle]').selectOption('light: not noticed on a phone');
  await sale.getByLabel('Four times as hard').selectOption('in the first minute');
  await sale.getByLabel('People from one network, at most').fill('4');
  await sale.getByRole('button', { name: 'Save' }).click();
  await page.getByTestId('draft-terms').getByText('everybody with an account').waitFor();
  await page.getByTestId('draft-terms').getByText('those that come back go to a waiting list').waitFor();
  const bots =
    'a puzzle, light: not noticed on a phone; four times as hard in the first minute; at most 4 people from one network (one internet connection)';
  await page.getByTestId('draft-terms').getByText(bots).waitFor();
  await page.getByRole('button', { name: 'Edit' }).click();
  await sale.getByLabel('Given out').selectOption('in turn, from a waiting room');
  await sale.getByLabel('In front of another site, at').fill('ftp://shop.example/drop');
  await sale.getByLabel('People inside at once').fill('0');
  await sale.getByRole('button', { name: 'Save' }).click();
  await sale.getByText('Expected an http(s) address without a query').waitFor();
  await sale.getByText('Expected at least 1.').waitFor();
  await sale.getByLabel('In front of another site, at').fill('https://shop.example/drop');
  await sale.getByLabel('People inside at once').fill('300');
  await sale.getByRole('button', { name: 'Save' }).click();
  const inFront = 'in front of https://shop.example/drop, at most 300 people inside';
  await page.getByTestId('draft-terms').getByText(inFront).waitFor();
  await page.getByRole('button', { name: 'Edit' }).click();
  await sale.getByLabel('Given out').selectOption('to those who press first');
  await sale.getByLabel('What comes back').selectOption('offered to a waiting list, in turn');
  await sale.getByRole('button', { name: 'Save' }).click();
  await page.getByTestId('draft-terms').getByText('those that come back go to a waiting list').waitFor();

  const [preview] = await Promise.all([page.waitForEvent('popup'), page.getByTestId('preview-link').click()]);
  await preview.getByTestId('preview').waitFor();
  await preview.getByTestId('product-name').filter({ hasText: 'Aurora Two' }).waitFor();
  await preview.getByTestId('buy').click();
  await preview.getByTestId('toast').filter({ hasText: 'This is a preview.' }).waitFor();

  await page.getByTestId('publish').click();
  const terms = page.getByTestId('publish-terms');
  await terms.getByText('1 for each person').waitFor();
  await terms.getByText('at once, when it is published').waitFor();
  await terms.getByText('Coordinated Universal Time (UTC)').waitFor();
  await page.getByTestId('form').getByRole('button', { name: 'Publish' }).click();
  await page.getByTestId('sale-left').filter({ hasText: '5 of 5 left' }).waitFor();
  const saleId = new URL(page.url()).hash.split('/')[1] ?? '';

  const shop = await browser.page();
  await shop.goto(`${system.url}/sales/${saleId}`);
  await shop.getByTestId('price').filter({ hasText: '€129.50' }).waitFor();
  await shop.getByTestId('old-price').filter({ hasText: '€199.00' }).waitFor();
  await system.changeSale(saleId, { proofOfWork: 'off' });
  await system.buy(saleId, system.buyerToken());
  await page.getByTestId('sale-left').filter({ hasText: '4 of 5 left' }).waitFor();

  await page.getByTestId('pause').click();
  await shop.getByTestId('status').filter({ hasText: 'Paused' }).waitFor();
  await page.getByTestId('resume').click();
  await page.getByTestId('add-units').fill('2');
  await page.getByTestId('add-stock').click();
  await shop.getByTestId('stock').filter({ hasText: /^6$/ }).waitFor();
  await shop.getByTestId('recent-event').filter({ hasText: '2 pieces added' }).waitFor();

  page.on('dialog', (dialog) => dialog.accept());
  await page.getByTestId('end').click();
  await page.getByTestId('sale-status').filter({ hasText: 'Ended' }).waitFor();
  await shop.getByTestId('status').filter({ hasText: 'Ended' }).waitFor();
  await page.getByTestId('report').filter({ hasText: '1 of 7 in 1 order' }).waitFor();

  const [csv] = await Promise.all([page.waitForEvent('download'), page.getByTestId('csv').click()]);
  expect((await textOf(csv)).trim().split('\r\n')).toHaveLength(2);
  const [picture] = await Promise.all([page.waitForEvent('download'), page.getByTestId('picture').click()]);
  expect((await sharp(await picture.path()).metadata()).width).toBe(1_200);
});

test('an ambiguous price is refused in the form, with both readings', async () => {
  await system.createSale();
  const page = await enter('#sales');
  await page.getByTestId('new-sale').click();
  const form = page.getByTestId('form');
  const price = form.locator('[name="items.0.price"]');
  const save = form.getByRole('button', { name: 'Save' });
  const told = form.getByRole('alert');
  const { sales } = system.store.collections;
  const before = await sales.countDocuments();

  const refuses = async (fields: Record<string, string>, text: string) => {
    for (const [name, value] of Object.entries(fields)) await form.locator(`[name="${name}"]`).fill(value);
    await save.click();
    await told.filter({ hasText: text }).waitFor();
  };
  const [cost, old, units] = ['items.0.price', 'items.0.oldAmount', 'items.0.stock'] as const;
  await refuses({ [cost]: '1,500' }, 'Price: 1,500: did you mean 1500.00 or 1.50?');
  expect(await price.getAttribute('aria-invalid')).toBe('true');
  await refuses({ currency: 'JPY' }, 'Price: 1,500: did you mean 1500?');
  await refuses({ [cost]: '1.5' }, 'Price: JPY has no decimals');
  await refuses({ currency: 'ABC' }, 'Currency: expected the ISO 4217 code');
  await refuses({ currency: 'EUR', [cost]: '1.50', [old]: '2,000' }, 'Old price: 2,000: did you mean');
  await refuses({ [old]: '1.50' }, 'Old price: expected more than the price');
  await refuses({ [old]: '', [units]: '1,500' }, 'Units: 1,500: did you mean 1500?');
  await refuses({ [units]: '1e3' }, 'Units: expected a number');
  await refuses({ [units]: '5', limitPerBuyer: '6' }, 'expected at most 5, the units on sale');
  await refuses({ limitPerBuyer: '1', closesAt: '2020-01-01T00:00' }, 'Ends: expected a time after');
  const tomorrow = localText(Date.now() + 86_400_000, 'UTC');
  await refuses({ closesAt: tomorrow, [cost]: '0' }, 'A price of 0 gives it away. Tick to confirm');
  await refuses({ [cost]: '20000000000' }, 'Expected a price above 0 that is not beyond all bounds.');
  expect(await sales.countDocuments()).toBe(before);

  await price.fill('1.500,00');
  await page.getByTestId('parsed-price').filter({ hasText: '€1,500.00' }).waitFor();
  await save.click();
  await page.getByTestId('publish').click();
  await page.getByTestId('form').getByRole('button', { name: 'Publish' }).click();
  await page.getByTestId('sale-left').filter({ hasText: '5 of 5 left' }).waitFor();
  const saleId = new URL(page.url()).hash.split('/')[1] ?? '';
  expect((await sales.findOne({ _id: saleId }))?.price).toMatchObject({ amount: 150_000, currency: 'EUR' });

  await page.getByTestId('add-units').fill('1,500');
  await page.getByTestId('add-stock').click();
  await page.getByTestId('toast').filter({ hasText: '1,500: did you mean 1500?' }).waitFor();
});

test('a user who is not an admin sees that they have no access', async () => {
  const page = await browser.page();
  await page.goto(`${system.url}/admin`);
  await page.getByText('Sign in as staff of the shop.').waitFor();
  expect(await page.getByTestId('tile-rates').count()).toBe(0);
});

test('a view that comes late is not shown over a later one, and one that cannot be loaded offers a reload', async () => {
  const page = await enter('#now');
  await page.getByTestId('processes').waitFor();
  let release = () => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  await page.route('**/chunks/views-*', async (route) => {
    await held;
    await route.continue();
  });
  const asked = page.waitForRequest('**/chunks/views-*');
  await page.evaluate("location.hash = 'sales'");
  const chunk = (await asked).url();
  await page.locator('#view[aria-busy]').waitFor();
  await page.evaluate("location.hash = 'now'");
  await page.locator('#tabs [href="#now"][aria-current]').waitFor();
  release();
  // This import shares the page's own, and ends after it.
  await page.evaluate(`import(${JSON.stringify(chunk)}).then(() => undefined)`);
  const title = page.locator('#view').getByRole('heading', { level: 1 });
  expect(await title.textContent()).toBe(englishRoom.nowTitle);
  await page.context().close();

  const failing = await browser.page({ as: adminSession(), viewport: { width: 390, height: 844 } });
  await failing.route('**/chunks/views-*', (route) => route.abort());
  await failing.goto(`${system.url}/admin#sales`);
  const alert = failing.locator('#view').getByRole('alert');
  await alert.getByRole('button', { name: englishRoom.words.lookAgain }).waitFor();
  const headings = failing.getByRole('heading', { level: 1 });
  expect(await headings.allTextContents()).toEqual([englishRoom.room]);
  await failing.goto(`${system.url}/admin?invited#join=an-invitation`);
  await failing.locator('#no-access').getByRole('button', { name: englishRoom.words.lookAgain }).waitFor();
  expect(await headings.allTextContents()).toEqual([englishRoom.room]);
});

test('the control room is in the reader’s language before its script runs', async () => {
  const headers = { Accept: 'text/html', 'Accept-Language': 'de' };
  const html = (await system.api<string>('GET', '/admin', { headers })).body;
  expect(html).toMatch(new RegExp(`<title>${germanRoom.room} · `));
  expect(html).toContain(`>${germanRoom.room}</h1>`);
  // Prices are in the shop's locale, and the rest as the reader writes it.
  expect(html).toContain('data-locale="de"');
  expect(html).toContain('data-money-locale="en"');
  expect(html).not.toContain('{{');
});

test('an uploaded picture is resized and immutable, and other files are refused', async () => {
  const send = (body: Buffer, type = 'image/jpeg') =>
    fetch(`${system.url}/api/admin/pictures`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${system.adminToken}`, 'Content-Type': type },
      body: new Uint8Array(body),
    });
  const upload = await aPicture('teal', 2_000);
  const [first, second] = [await send(upload), await send(upload)];
  expect(first.status).toBe(201);
  const { path } = (await first.json()) as { path: string };
  expect(await second.json()).toEqual({ path });

  for (const [at, width] of [
    [path, 1_200],
    [path.replace('-1200.', '-480.'), 480],
  ] as const) {
    const served = await fetch(system.url + at);
    expect(served.headers.get('content-type')).toBe('image/webp');
    expect(served.headers.get('cache-control')).toContain('immutable');
    expect(served.headers.get('content-security-policy')).toBe("default-src 'none'");
    expect((await sharp(await served.arrayBuffer()).metadata()).width).toBe(width);
  }
  const script = Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>');
  expect((await send(script, 'image/svg+xml')).status).toBe(400);
  expect((await send(Buffer.from('not a picture'), 'image/png')).status).toBe(400);
  expect((await send(upload.subarray(0, 300))).status).toBe(400);
  expect((await send(upload, 'text/plain')).status).toBe(415);
  expect((await send(Buffer.alloc(9 * 1_024 * 1_024, 1))).status).toBe(413);
  expect((await fetch(`${system.url}/pictures/${'x'.repeat(22)}-1200.webp`)).status).toBe(404);
});

test('the figures cover the whole cluster', async () => {
  const sale = await system.createSale({ stock: 6, limitPerBuyer: 1 });
  const before = await live();
  const since = before.seconds.at(-1)?.second ?? 0;
  // Ten buyers on both instances: six get a unit, four are refused at the gate.
  for (let n = 0; n < 10; n++) {
    await system.buy(sale.id, system.buyerToken(), { at: system.servers[n % 2]?.url ?? '' });
  }
  const sum = (count: (second: LiveFigures['seconds'][number]) => number, { seconds }: LiveFigures) =>
    seconds.reduce((total, second) => total + count(second), 0);
  const figures = await waitUntil(
    async () => {
      const now = await live(`?since=${since}`);
      return sum(({ paid }) => paid, now) === 6 && sum(({ answers }) => answers.sold_out ?? 0, now) === 4
        ? now
        : null;
    },
    { deadlineMs: 15_000, what: 'the figures do not add up' },
  );
  expect(sum(({ answers }) => answers.admitted ?? 0, figures)).toBe(6);
  expect(figures.seconds.some(({ p99Ms }) => p99Ms !== null)).toBe(true);
  expect(figures.living.map(({ role }) => role).sort()).toEqual(['server', 'server', 'worker']);

  const { body } = await system.api<SaleReport>('GET', `/api/admin/sales/${sale.id}/report`, asAdmin());
  expect(body).toMatchObject({ paidUnits: 6, stock: 0, units: 6, refused: { sold_out: 4 }, admitted: 6 });
  expect(body.soldOutAfterMs).toBeGreaterThan(0);
  expect(body.fastestMs).toBeLessThanOrEqual(body.slowestMs ?? 0);
  expect(body.points.at(-1)?.[1]).toBe(0);
});

test('the tiles show the six figures of the queue', async () => {
  const page = await enter();
  const reads = (name: string, text: RegExp) =>
    page.getByTestId(`tile-${name}`).filter({ hasText: text }).waitFor();
  await reads('queue', /^0$/);
  await reads('rates', /^[\d.]+ · [\d.]+$/);
  await reads('lag', /^(–|[\d,]+)$/);
  await reads('p99', /^\d[\d.]* m?s$/);
  await reads('dead-letters', /^0$/);
  await reads('success', /^100 %$/);
});

test('a queue that stands still is not fine, and what was not measured has no state', () => {
  const well = {
    ...{ depth: 0, oldestMs: 0, inPerSecond: 0, outPerSecond: 0, lag: {}, p50Ms: 446, p99Ms: 653 },
    ...{ deadLetters: 0, deadLetterGrowth: 0, successRate: 1 },
  };
  const good = { depth: 'good', lag: null, latency: 'good', deadLetters: 'good', success: 'good' };
  expect(statesOf(well)).toEqual(good);
  const stalled = { ...well, depth: 40, oldestMs: 10_001 };
  expect(statesOf(stalled)).toEqual({ ...good, depth: 'bad', latency: 'bad' });
  expect(settledWithinMs(stalled)).toBe(10_001);
  const quiet = { ...well, p50Ms: null, p99Ms: null, successRate: null };
  expect(statesOf(quiet)).toEqual({ ...good, latency: null, success: null });
  expect(statesOf({ ...well, lag: { mail: 3, analytics: 1_001 } }).lag).toBe('bad');
});

test('sales fit the window whatever they are called, and the orders begin with a sale that has some', async () => {
  const sold = await system.createSale({ name: 'A lamp that was sold' });
  const buyer = await system.signUp();
  await system.settled((await system.buy(sold.id, buyer.token)).body.orderId, buyer.token);
  await system.createSale({ name: 'Donaudampfschifffahrtsgesellschaftskapitänsmützenkollektionsständer' });
  const page = await enter('#sales');
  await page.setViewportSize({ width: 820, height: 900 });
  await page.getByText('Donaudampf').waitFor();
  const isCut = await page.evaluate(`(() => {
    const { scrollWidth, clientWidth } = document.querySelector('.table:has([data-testid=sales])');
    return scrollWidth > clientWidth;
  })()`);
  expect(isCut).toBe(false);
  await page.evaluate("location.hash = 'orders'");
  await page.locator('[data-testid=orders] td').first().waitFor();
});

test('the status of an audit is shown after it ran', async () => {
  await waitUntil(async () => (await system.api('POST', '/api/admin/audits', asAdmin())).status === 202, {
    deadlineMs: 15_000,
    what: 'no audit could be started',
  });
  await waitUntil(async () => (await live()).audit.state === 'ok', {
    deadlineMs: 30_000,
    what: 'the audit is not ok',
  });
});

test('orders are found by sale, by id and by e-mail, and exported without formulas', async () => {
  const sale = await system.createSale({ stock: 50 });
  const evil = { email: 'evil@example.com', password: 'a long enough password', name: '=HYPERLINK("x")' };
  const { body: session } = await system.api('POST', '/api/users', { body: evil });
  const { body: receipt } = await system.buy(sale.id, session.token);
  for (let n = 0; n < 4; n++) await system.buy(sale.id, system.buyerToken());
  await system.quiet();

  const find = async (query: string) =>
    (await system.api('GET', `/api/admin/orders?${query}`, asAdmin())).body.orders.map(
      ({ id }: { id: string }) => id,
    );
  expect(await find(`saleId=${sale.id}`)).toHaveLength(5);
  expect(await find(`saleId=${sale.id}&status=rejected`)).toEqual([]);
  expect(await find('q=evil@example.com')).toEqual([receipt.orderId]);
  expect(await find(`q=${receipt.orderId}`)).toEqual([receipt.orderId]);
  expect(await find('q=nobody@example.com')).toEqual([]);

  const { body: csv, headers } = await system.api<string>(
    'GET',
    `/api/admin/sales/${sale.id}/orders.csv`,
    asAdmin(),
  );
  expect(headers.get('content-disposition')).toContain('attachment');
  const lines = csv.trim().split('\r\n');
  expect(lines).toHaveLength(6);
  expect(lines.find((line) => line.includes(receipt.orderId))).toContain(`"'=HYPERLINK(""x"")"`);
});

/** What a reader sees or hears: texts and labels, but for what programs say, which is in English. */
const readsAloud = `(() => {
  const isOurs = (one) => one.closest('[lang]') === document.documentElement && one.checkVisibility();
  const texts = document.createNodeIterator(document.body, NodeFilter.SHOW_TEXT);
  const said = [document.title];
  for (let text = texts.nextNode(); text; text = texts.nextNode())
    if (isOurs(text.parentElement)) said.push(text.data);
  for (const name of ['aria-label', 'title', 'placeholder', 'alt'])
    for (const one of document.querySelectorAll('[' + name + ']'))
      if (isOurs(one)) said.push(one.getAttribute(name));
  return said.map((text) => text.replace(/\\s+/g, ' ').trim());
})()`;

test('every view is in German and in French, and breaks nothing', async () => {
  const sale = await system.createSale({ name: 'Aurora', sizes: { S: 2, M: 3 }, limitPerBuyer: 3 });
  const buyer = await system.signUp();
  const lines = [{ itemId: '1', quantity: 1 }];
  const { orderId } = (await system.buy(sale.id, buyer.token, { lines })).body;
  await system.settled(orderId, buyer.token);
  const { body: draft } = await system.api('POST', `/api/sales/${sale.id}/duplicates`, asAdmin());
  const views: [hash: string, shows: string, opens?: string][] = [
    ['now', '[data-testid=processes] td'],
    ['sales', '[data-testid=sales] td', '[data-testid=new-sale]'],
    [`sale/${sale.id}`, '[data-testid=report] dd', '[data-testid=call-off]'],
    [`draft/${draft.id}`, '[data-testid=draft-terms] dd', '[data-testid=publish]'],
    ['products', '.product', '[data-testid=new-product]'],
    ['orders', '[data-testid=orders] td'],
    [`order/${orderId}`, '[data-testid=order-state]:not(:empty)', '[data-testid=cancel]'],
    [`suspects/${sale.id}`, '[data-testid=look]'],
    ['dead-letters', '[role=status]:not(:empty)'],
    ['shop', '[data-testid=change-theme]', '[data-testid=change-theme]'],
    ['staff', '[data-testid=invite]', '[data-testid=invite]'],
    ['keys', '[data-testid=new-key]', '[data-testid=new-key]'],
    ['log', '[data-testid=staff-log] td'],
    ['runbook/RedisAway', '[data-testid=runbook]:not(:empty)'],
  ];
  for (const [locale, room, shop] of [
    ['de-DE', germanRoom, german],
    ['fr-FR', frenchRoom, french],
  ] as const) {
    const isEnglish = englishBut([room, shop]);
    const page = await enter('', locale);
    for (const [hash, shows, opens] of views) {
      await page.evaluate(`location.hash = ${JSON.stringify(hash)}`);
      await page.locator(`#view ${shows}`).first().waitFor();
      if (opens) {
        await page.locator(opens).first().click();
        await page.getByTestId('form').waitFor();
      }
      const said = await page.evaluate<string[]>(readsAloud);
      expect(said.filter(isEnglish), `${locale} ${hash}`).toEqual([]);
      if (opens) await page.keyboard.press('Escape');
    }
  }
});

/** Whether what is said is an English text, or has a sentence of one, that these translations do not have as well. */
function englishBut(translations: object[]) {
  // What a text says about samples stands between the numbers of these.
  const partsOf = (texts: object) =>
    leavesOf(texts).flatMap(([, text]) => text.split(/\d+/).map((part) => part.trim()));
  const shared = new Set(translations.flatMap(partsOf));
  const own = [english, englishRoom].flatMap(partsOf).filter((part) => !shared.has(part));
  const sentences = own.filter(isSentence);
  return (said: string) => own.includes(said) || sentences.some((sentence) => said.includes(sentence));
}

test('a dead letter is shown, tried again and discarded', async () => {
  await bullOf(system.store.queue).add({ purchases: [{ nonsense: true }] } as never, { attempts: 1 });
  const page = await enter('#dead-letters');
  const letters = page.getByTestId('dead-letters').getByRole('listitem');
  await waitUntil(
    async () => {
      await page.getByRole('button', { name: 'Look again' }).click();
      return (await letters.count()) === 1;
    },
    { deadlineMs: 15_000, what: 'there is no dead letter' },
  );
  page.on('dialog', (dialog) => dialog.accept());
  await letters.getByRole('button', { name: 'Discard' }).click();
  await page.getByText('None. Everything that was accepted could be settled.').waitFor();
});

test('an admin opens Bull’s board with a one-time ticket', async () => {
  const page = await enter('#queues');
  await page.waitForURL(/\/admin\/queues\/$/);
  await page.getByText('purchases').first().waitFor();

  const { body } = await system.api<{ path: string }>('POST', '/api/admin/queue-visits', asAdmin());
  const visit = () => fetch(system.url + body.path, { redirect: 'manual', headers: { Accept: 'text/html' } });
  expect((await visit()).headers.get('set-cookie')).toMatch(/HttpOnly.*SameSite=Strict/i);
  expect((await visit()).headers.get('location')).toBe('/admin#queues');
  const api = await fetch(`${system.url}/admin/queues/api/queues`, {
    headers: { Accept: 'application/json' },
  });
  expect(api.status).toBe(401);
});
