import { afterAll, beforeAll, expect, test } from 'vitest';
import { waitUntil } from '../../ops/local/processes/process.mjs';
import { type OpenBrowser, openBrowser } from '../support/browser.ts';
import { startExample } from '../support/example.ts';

/** The shop of examples/shop, with `<stampede-buy>` and in another origin than Stampede. */

let example: Awaited<ReturnType<typeof startExample>>;
let shopUrl = '';
let saleUrl = '';
let browser: OpenBrowser;

beforeAll(async () => {
  example = await startExample('examples/shop/start.ts');
  const { output } = example;
  browser = await openBrowser();
  [, shopUrl = ''] = /^The shop +(\S+)$/m.exec(output) ?? [];
  [, saleUrl = ''] = /^Stampede +(\S+)$/m.exec(output) ?? [];
  expect(shopUrl, output).not.toBe('');
});
afterAll(async () => {
  await example?.close();
  await browser.close();
});

test('a customer of the shop signs in there, buys a size, pays at its checkout and gets a parcel', async () => {
  const page = await browser.page({ viewport: { width: 390, height: 844 } });
  await page.goto(shopUrl);
  const buy = page.locator('stampede-buy');
  await buy.getByText('A brass lamp').waitFor();
  await buy.getByText('€49.00').waitFor();
  // Nobody is signed in, so the shop is asked to do that.
  await buy.getByRole('button', { name: 'Buy' }).click();
  await page.getByLabel('E-mail').fill('ann@example.com');
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByText('Hello ann@example.com').waitFor();

  await buy.getByText('Medium').click();
  await buy.getByText('€59.00').waitFor();
  await buy.getByLabel('Quantity').selectOption('2');
  const told = page.evaluate(
    `new Promise((resolve) => addEventListener('stampede-order', ({ detail }) => resolve(detail.order)))`,
  );
  await buy.getByRole('button', { name: 'Buy' }).click();
  await buy.getByText(/Pay within (09|10):/).waitFor();
  expect(await told).toMatchObject({
    status: 'held',
    amount: 11_800,
    lines: [{ label: 'Medium', quantity: 2 }],
  });
  // The order survives a reload of the page.
  await page.reload();
  await buy.getByText(/Pay within/).waitFor();

  await buy.getByRole('button', { name: 'Pay' }).click();
  await page.getByText('2 × Medium: €118.00').waitFor();
  await page.getByRole('button', { name: 'Pay €118.00' }).click();
  await waitUntil(
    async () => {
      await page.goto(`${shopUrl}/orders`);
      return page.getByText('2 × Medium: paid, being packed').isVisible();
    },
    { deadlineMs: 20_000, everyMs: 500, what: 'the webhook has told the shop' },
  );
  await page.goto(shopUrl);
  await buy.getByText('It is yours.').waitFor();
  await page.reload();
  await buy.getByText('10 left').waitFor();
  await buy.getByText('Medium').click();
  await buy.getByText('8 left').waitFor();
});

test('the API answers pages of the shop, and of no other site; a buyer’s calls alone', async () => {
  const { origin, pathname } = new URL(saleUrl);
  const path = `/api${pathname}/purchases`;
  const preflight = (from: string, at = path, method = 'POST') =>
    fetch(origin + at, {
      method: 'OPTIONS',
      headers: { Origin: from, 'Access-Control-Request-Method': method },
    });
  const allowed = await preflight(shopUrl);
  expect([allowed.status, allowed.headers.get('access-control-allow-origin')]).toEqual([204, shopUrl]);
  expect(allowed.headers.get('access-control-allow-headers')).toContain('Idempotency-Key');
  expect(allowed.headers.get('access-control-allow-credentials')).toBeNull();
  for (const answer of [
    await preflight('https://elsewhere.example'),
    await preflight(shopUrl, '/api/admin/webhooks', 'GET'),
    await preflight(shopUrl, '/api/sessions/renewal'),
  ])
    expect(answer.headers.get('access-control-allow-origin')).toBeNull();
  const refused = await fetch(origin + path, { method: 'POST', headers: { Origin: shopUrl } });
  expect([refused.status, refused.headers.get('access-control-allow-origin')]).toEqual([401, shopUrl]);
  expect(refused.headers.get('vary')).toContain('Origin');
});
