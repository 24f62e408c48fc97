import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { waitUntil } from '../../ops/local/processes/process.mjs';
import type { Order, SaleSnapshot, Session } from '../../sale/contract.ts';
import { type OpenBrowser, objections, openBrowser } from '../support/browser.ts';
import { startSystem, type TestSystem } from '../support/harness.ts';
import { openStripeStandIn, type StripeStandIn, webhookSecret } from '../support/stripe-stand-in.ts';

let system: TestSystem;
let browser: OpenBrowser;
let sale: SaleSnapshot;
let standIn: StripeStandIn;
/** Servers of the same shop with other providers. */
let stripeUrl: string;
let externalUrl: string;
/** Errors that pages threw; every test must end without any. */
const thrown: string[] = [];

beforeAll(async () => {
  const env = { SIMULATED_LATENCY_MS: '20', PAYMENTS_INTERVAL_MS: '100' };
  [system, browser, standIn] = await Promise.all([startSystem({ env }), openBrowser(), openStripeStandIn()]);
  const [withStripe, withExternal] = await Promise.all([
    system.startServer({
      PAYMENT_PROVIDER: 'stripe',
      STRIPE_SECRET_KEY: 'sk_test_123',
      STRIPE_PUBLISHABLE_KEY: 'pk_test_123',
      STRIPE_WEBHOOK_SECRETS: webhookSecret,
      STRIPE_API_URL: standIn.url,
    }),
    system.startServer({
      PAYMENT_PROVIDER: 'external',
      EXTERNAL_CHECKOUT_URL: 'https://shop.example/checkout?order={orderId}',
    }),
  ]);
  stripeUrl = withStripe.url;
  externalUrl = withExternal.url;
  sale = await createSale('A lamp to pay');
});
afterEach(async () => {
  await browser.closePages();
  expect(thrown.splice(0)).toEqual([]);
});
afterAll(async () => {
  await browser.close();
  await system.close();
  await standIn.close();
});

/** A sale whose orders are held for ten minutes. */
async function createSale(name: string): Promise<SaleSnapshot> {
  const { product, opensAt, closesAt } = await system.createSale({ name });
  const price = { amount: 4_900, currency: 'EUR' };
  const body = { productId: product.id, price, stock: 50, limitPerBuyer: 3, opensAt, closesAt };
  const answer = await system.api<SaleSnapshot>('POST', '/api/sales', {
    token: system.adminToken,
    body: { ...body, paymentWindowSeconds: 600 },
  });
  return answer.body;
}

interface Held {
  buyer: Session;
  orderId: string;
}

async function hold(): Promise<Held> {
  const buyer = await system.signUp();
  const { orderId } = (await system.buy(sale.id, buyer.token)).body;
  expect((await system.settled(orderId, buyer.token)).status).toBe('held');
  return { buyer, orderId };
}

async function visit(path: string, as: Session, { at = system.url, locale = 'en-GB' } = {}) {
  const page = await browser.page({ as, locale, viewport: { width: 390, height: 844 } });
  return await open(page, at + path);
}

async function open(page: Page, url: string): Promise<Page> {
  page.on('pageerror', (error) => thrown.push(error.message));
  page.on('console', (message) => {
    if (message.text().includes('Content Security Policy')) thrown.push(message.text());
  });
  page.on('dialog', (dialog) => dialog.accept());
  await page.goto(url);
  return page;
}

const sees = (page: Page, testId: string, text: string | RegExp) =>
  page.getByTestId(testId).filter({ hasText: text }).first().waitFor();
const pays = (page: Page) => page.locator('[data-testid=pay][aria-disabled=false]').click();
const chooses = (page: Page, card: string) => page.getByRole('radio', { name: card, exact: true }).check();

const orderOf = async ({ buyer, orderId }: Held): Promise<Order> =>
  (await system.api('GET', `/api/orders/${orderId}`, { token: buyer.token })).body;

test('a buyer pays what is held for them: refused first, then paid, with a receipt', async () => {
  const buyer = await system.signUp();
  const page = await visit(`/sales/${sale.id}`, buyer);
  await page.locator('[data-testid=buy][data-state=buy]').click();
  await page.locator('[data-testid=buy][data-state=held]').waitFor();
  await page.getByText(/Held for you for 0?9:\d\d/).waitFor();
  await page.getByTestId('buy').click();
  await sees(page, 'order-status', 'Held for you');
  await sees(page, 'hold-clock', /09:\d\d/);
  await page.getByText('This is a test: no money moves.').waitFor();
  expect(await objections(page)).toEqual([]);

  await chooses(page, 'Have too little money on it');
  await pays(page);
  await sees(page, 'pay-failure', 'There is not enough money on this card. Nothing was taken.');
  await chooses(page, 'Pay');
  await page.getByRole('radio', { name: 'Pay', exact: true }).press('Tab');
  // The whole way works from the keyboard.
  await page.keyboard.press('Enter');
  await sees(page, 'order-status', 'Paid');
  await sees(page, 'receipt', /Receipt.*1 × A lamp to pay.*Total.*€49\.00.*Paid.*Shop/s);
  expect(new URL(page.url()).hash).toBe('');
  expect(await objections(page)).toEqual([]);
  await page.getByRole('link', { name: 'All my orders' }).click();
  await page.locator('.order-line[data-status=paid]').waitFor();
  const { orders } = (await system.api('GET', '/api/orders', { token: buyer.token })).body;
  const { payments } = (
    await system.api('GET', `/api/orders/${orders[0].id}/payments`, { token: buyer.token })
  ).body;
  expect(payments).toMatchObject([{ provider: 'simulated', state: 'captured', capturedAmount: 4_900 }]);
});

test('a payment that takes long goes on when its page is closed and opened again', async () => {
  const held = await hold();
  const page = await visit(`/orders/${held.orderId}#pay`, held.buyer);
  await chooses(page, 'Pay, after a few seconds');
  await pays(page);
  await sees(page, 'order-status', 'Your payment is on its way');
  await page.close();
  const again = await open(await page.context().newPage(), `${system.url}/orders/${held.orderId}`);
  await sees(again, 'order-status', 'Your payment is on its way');
  await sees(again, 'order-status', 'Paid');
});

test('two tabs: the second says so, takes over, and both see it paid', async () => {
  const held = await hold();
  const path = `/orders/${held.orderId}`;
  const one = await visit(`${path}#pay`, held.buyer);
  await chooses(one, 'Pay, after a few seconds');
  const other = await open(await one.context().newPage(), system.url + path);
  await pays(other);
  await sees(other, 'pay-note', 'in another tab');
  await pays(other);
  await chooses(other, 'Pay, after a few seconds');
  await sees(one, 'pay-note', 'in another tab');
  // Going back closes the form, and the first tab may pay again.
  await other.goBack();
  await one.locator('[data-testid=pay][data-state=closed]').click();
  await chooses(one, 'Pay');
  await pays(one);
  await Promise.all([one, other].map((page) => sees(page, 'order-status', 'Paid')));
});

test('a held order is listed with its time, and given back', async () => {
  const held = await hold();
  const page = await visit('/orders', held.buyer);
  await page.getByText(/Held for you for 0?9:\d\d/).waitFor();
  await page.getByRole('link', { name: 'Pay now' }).click();
  await page.getByText('What should the card do?').waitFor();
  await page.getByTestId('cancel-order').click();
  await sees(page, 'order-status', 'Cancelled');
  await sees(page, 'order-money', 'Nothing was taken.');
  expect((await orderOf(held)).status).toBe('cancelled');
});

test('an order that was not paid in time says what became of it and of its money', async () => {
  const held = await hold();
  const page = await visit(`/orders/${held.orderId}#pay`, held.buyer, { locale: 'de-DE' });
  await page.getByText('Das ist ein Test: Es fließt kein Geld.').waitFor();
  const { orders } = system.store.collections;
  await orders.updateOne({ _id: held.orderId }, { $set: { holdExpiresAt: new Date() } });
  await sees(page, 'order-status', 'Abgelaufen');
  await sees(page, 'order-note', 'Sie wurde nicht rechtzeitig bezahlt');
  await sees(page, 'order-money', 'Es wurde nichts abgebucht.');
});

test('staff give a part of the money back and then the rest, and the buyer sees both', async () => {
  const held = await hold();
  const page = await visit(`/orders/${held.orderId}#pay`, held.buyer);
  await pays(page);
  await sees(page, 'order-status', 'Paid');
  await sees(page, 'receipt', 'Paid');
  const staff = {
    user: { id: 'test-admin', role: 'admin', name: 'Ada', email: 'a@b.example' },
    token: system.adminToken,
  };
  const desk = await visit(`/admin#order/${held.orderId}`, staff as Session);
  await sees(desk, 'payments', '€49.00 by simulated: paid');
  const gives = async (amount: string | null) => {
    await desk.getByTestId('refund').click();
    const form = desk.getByTestId('form');
    if (amount) await form.getByLabel('Amount in EUR').fill(amount);
    await form.getByLabel('Reason').fill('A scratch');
    await form.getByRole('button', { name: 'Give it back' }).click();
  };
  await gives('10.00');
  await sees(desk, 'payments', /€10\.00 (asked for|on its way|given back): A scratch/);
  await sees(page, 'order-status', 'Paid, part given back');
  await sees(page, 'receipt', /Given back.*€10\.00/s);
  await gives(null);
  await sees(page, 'order-status', 'Refunded');
  await sees(page, 'order-money', '€49.00');
  await desk.getByTestId('refund').waitFor({ state: 'hidden' });
});

test('a purchase that is queued, or not answered yet, is in My orders', async () => {
  const buyer = await system.signUp();
  const { pid } = system.workers[0] as TestSystem['workers'][number];
  process.kill(pid, 'SIGSTOP');
  try {
    const { orderId } = (await system.buy(sale.id, buyer.token)).body;
    const page = await visit('/orders', buyer);
    await page.locator('.order-line[data-status=queued]').waitFor();
    await page.getByRole('link', { name: 'A lamp to pay' }).click();
    await sees(page, 'order-status', 'In the queue');
    expect(new URL(page.url()).pathname).toBe(`/orders/${orderId}`);
    const unanswered = {
      buyerId: buyer.user.id,
      saleId: sale.id,
      quantity: 1,
      idempotencyKey: 'k',
      sentAt: Date.now(),
    };
    const [key, value] = [`stampede.pending.${buyer.user.id}.${sale.id}`, JSON.stringify(unanswered)];
    await page.evaluate(`localStorage.setItem(${JSON.stringify(key)}, ${JSON.stringify(value)})`);
    await page.goBack();
    await page.locator('.order-line[data-status=sending]').waitFor();
  } finally {
    process.kill(pid, 'SIGCONT');
  }
  await system.quiet();
});

/** What the page uses of Stripe.js; it confirms at the stand-in through a function of the test. */
const stripeJs = `globalThis.Stripe = (key, { locale }) => ({
  elements: ({ clientSecret }) => {
    const field = document.createElement('input');
    field.setAttribute('aria-label', 'Card number');
    field.dataset.key = key;
    return { clientSecret, create: () => ({ mount: (place) => place.append(field), destroy: () => field.remove() }),
      card: () => field.value };
  },
  async confirmPayment({ elements, redirect }) {
    if (elements.card() === '') return { error: { type: 'validation_error' } };
    const declined = await confirmAtStripe(elements.clientSecret, elements.card());
    return declined ? { error: { type: 'card_error', ...declined } } : {};
  },
});`;

test('a shop with Stripe shows Stripe’s form, which loads only at paying', async () => {
  const { buyer, orderId } = await hold();
  const page = await visit('/healthz', buyer, { at: stripeUrl });
  let loads = 0;
  await page.route('https://js.stripe.com/**', async (route) => {
    loads += 1;
    await route.fulfill({ contentType: 'text/javascript', body: stripeJs });
  });
  await page.exposeFunction('confirmAtStripe', (secret: string, card: string) => {
    return standIn.confirm(secret, card === '4000' ? 'declined' : 'ok').last_payment_error;
  });
  await page.goto(`${stripeUrl}/orders/${orderId}`);
  await sees(page, 'order-status', 'Held for you');
  expect(loads).toBe(0);
  await pays(page);
  await page.getByTestId('stripe-form').getByLabel('Card number').waitFor();
  await pays(page);
  expect(await page.getByTestId('pay-failure').isVisible()).toBe(false);
  await page.getByLabel('Card number').fill('4000');
  await pays(page);
  await sees(page, 'pay-failure', 'There is not enough money on this card.');
  await page.getByLabel('Card number').fill('4242');
  await pays(page);
  await sees(page, 'order-status', 'Paid');
  const policyOf = async (path: string) =>
    (await fetch(stripeUrl + path)).headers.get('content-security-policy');
  expect(await policyOf(`/orders/${orderId}`)).toContain('https://js.stripe.com');
  for (const path of ['/', '/orders', `/sales/${sale.id}`, '/admin'])
    expect(await policyOf(path)).not.toContain('stripe');
});

test('a shop with a checkout of its own leads there, and the page learns that it was paid', async () => {
  const held = await hold();
  const page = await visit(`/orders/${held.orderId}#pay`, held.buyer, { at: externalUrl });
  const link = page.getByTestId('checkout');
  await link.waitFor();
  expect(await link.getAttribute('href')).toBe(`https://shop.example/checkout?order=${held.orderId}`);
  const paid = await system.api('POST', `/api/orders/${held.orderId}/external-payments`, {
    token: system.adminToken,
    body: { reference: 'till-1', amount: 4_900, currency: 'EUR' },
    at: externalUrl,
  });
  expect(paid.status).toBe(200);
  await waitUntil(async () => (await orderOf(held)).status === 'paid', {
    deadlineMs: 10_000,
    what: 'the order is not paid',
  });
  await sees(page, 'order-status', 'Paid');
});
