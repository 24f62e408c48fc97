import { afterAll, beforeAll, expect, test } from 'vitest';
import { waitUntil } from '../../../ops/local/processes/process.mjs';
import { openProvider } from '../../../sale/payment/open-provider.ts';
import type { SimulatedCard } from '../../../sale/payment/simulated.ts';
import { startSystem, type TestSystem } from '../../support/harness.ts';

let system: TestSystem;
beforeAll(async () => {
  const env = { PAYMENTS_INTERVAL_MS: '50', PAYMENT_STEP_MS: '500', SIMULATED_LATENCY_MS: '5' };
  system = await startSystem({ servers: 1, nginx: false, env });
});
afterAll(() => system.close());

async function hold({ seconds = 60 } = {}) {
  const { id } = await system.createSale({ stock: 5 });
  const token = system.buyerToken();
  const { orderId } = (await system.buy(id, token)).body;
  await system.settled(orderId, token);
  const holdExpiresAt = new Date(Date.now() + seconds * 1_000);
  const { orders } = system.store.collections;
  await orders.updateOne({ _id: orderId }, { $set: { status: 'held', holdExpiresAt } });
  return { orderId, token };
}

/** A held order whose payment is started. */
async function holdAndStart(options = {}) {
  const { orderId, token } = await hold(options);
  const started = await system.api('POST', `/api/orders/${orderId}/payments`, { token });
  expect(started.body).toMatchObject({ provider: 'simulated', publishableKey: null, redirectUrl: null });
  return { orderId, token, clientSecret: started.body.clientSecret as string };
}

const confirm = (clientSecret: string, card: SimulatedCard) =>
  system.api('POST', '/api/payments/simulated/confirmations', { body: { clientSecret, card } });

const endOf = (orderId: string) =>
  waitUntil(
    async () => {
      const payment = await system.store.collections.payments.findOne({ orderId });
      return payment?.dueAt === null ? payment : null;
    },
    { deadlineMs: 20_000, what: `the payment of ${orderId} has ended` },
  );

test('an order is paid once, whatever happens to answers and webhooks', async () => {
  const cards: SimulatedCard[] = ['ok', 'direct', 'processing', 'answers-lost', 'slow'];
  const webhooks: SimulatedCard[] = ['webhook-lost', 'webhook-doubled', 'webhook-late'];
  const pay = async (card: SimulatedCard) => {
    // A lost webhook is made up for shortly before the hold ends.
    const { orderId, token, clientSecret } = await holdAndStart({ seconds: 10 });
    expect((await confirm(clientSecret, card)).status).toBe(200);
    expect(await endOf(orderId), card).toMatchObject({
      state: 'captured',
      capturedAmount: 4_900,
      refunds: [],
    });
    const order = await system.api('GET', `/api/orders/${orderId}`, { token });
    expect(order.body).toMatchObject({ status: 'paid' });
    expect((await confirm(clientSecret, card)).body).toMatchObject({ stage: 'captured' });
  };
  await Promise.all([...cards, ...webhooks].map(pay));
});

test('a refused card can be followed by a good one', async () => {
  const { orderId, clientSecret } = await holdAndStart();
  const refused = await confirm(clientSecret, 'refused');
  expect(refused.body).toEqual({ stage: 'failed', failure: 'card_declined' });
  expect((await confirm(clientSecret, 'no-funds')).body).toEqual({
    stage: 'failed',
    failure: 'insufficient_funds',
  });
  await confirm(clientSecret, 'ok');
  expect(await endOf(orderId)).toMatchObject({ state: 'captured' });
  expect((await confirm('sim_secret_of_nobody', 'ok')).status).toBe(404);
  const { headers } = await system.api('GET', '/orders');
  expect(headers.get('content-security-policy')).not.toContain('stripe');
});

test('a payment that comes too late goes back once, also when the provider refuses at first', async () => {
  const { collections } = system.store;
  for (const [card, state] of [
    ['ok', 'voided'],
    ['direct', 'refunded'],
    ['refund-refused', 'refunded'],
  ] as const) {
    const { orderId, clientSecret } = await holdAndStart();
    await collections.orders.updateOne({ _id: orderId }, { $set: { status: 'expired' } });
    await confirm(clientSecret, card);
    expect(await endOf(orderId)).toMatchObject({ state });
  }
});

test("the provider's own list says the same as the shop's records", async () => {
  const { collections, config } = system.store;
  const { provider } = await openProvider(config, collections);
  const listed = new Map<string, number>();
  for await (const report of provider?.listSince(new Date(Date.now() - 600_000)) ?? []) {
    listed.set(report.paymentId, report.capturedAmount - (report.refundedAmount ?? 0));
  }
  const payments = await collections.payments.find().toArray();
  expect(payments.length).toBe(listed.size);
  for (const { _id, capturedAmount, refunds } of payments) {
    const returned = refunds.reduce((sum, { amount }) => sum + amount, 0);
    expect(listed.get(_id), _id).toBe(capturedAmount - returned);
  }
});

test("the shop's own checkout reports a payment once, and gives back what comes too late", async () => {
  const env = {
    PAYMENT_PROVIDER: 'external',
    EXTERNAL_CHECKOUT_URL: 'https://checkout.example/pay/{orderId}',
  };
  const { url: at } = await system.startServer(env);
  const [held, late] = [await hold(), await hold()];
  const report = (orderId: string, what: string, body: object, token = system.adminToken) =>
    system.api('POST', `/api/orders/${orderId}/external-${what}`, { token, body, at });
  const price = { amount: 4_900, currency: 'EUR' };

  const started = await system.api('POST', `/api/orders/${held.orderId}/payments`, { token: held.token, at });
  const redirectUrl = `https://checkout.example/pay/${held.orderId}`;
  expect(started.body).toMatchObject({ provider: 'external', redirectUrl, clientSecret: null });
  const wrong = await report(held.orderId, 'payments', { reference: 'a-1', ...price, amount: 49 });
  expect(wrong.body).toMatchObject({ status: 409, detail: 'expected 4900 EUR, got 49 EUR' });
  const paid = { reference: 'a-1', ...price };
  const answers = await Promise.all(Array.from({ length: 10 }, () => report(held.orderId, 'payments', paid)));
  expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
  expect(new Set(answers.map(({ body }) => body.paymentId)).size).toBe(1);
  const other = await report(held.orderId, 'payments', { ...paid, reference: 'a-2' });
  expect(other.body).toMatchObject({ status: 409, detail: 'expected a held order, this one is paid' });
  expect((await report(held.orderId, 'payments', paid, held.token)).status).toBe(403);
  expect((await report('no-such-order-at-all-1', 'payments', paid)).status).toBe(404);

  const { staffLog, payments } = system.store.collections;
  /** The worker numbers the entries soon after they are written. */
  const notedOf = (orderId: string, count: number) =>
    waitUntil(
      async () => {
        const entries = await staffLog.find({ 'subject.id': orderId }).sort({ _id: 1 }).toArray();
        return entries.length >= count ? entries : null;
      },
      { deadlineMs: 10_000, what: 'the staff log lacks an entry' },
    );
  // Of all repetitions, the one that wrote the payment is noted.
  const [noted, ...more] = await notedOf(held.orderId, 1);
  expect([noted?.action, noted?.actor.kind, more]).toEqual(['order.paid_externally', 'account', []]);
  expect(JSON.parse(noted?.after ?? '')).toMatchObject(paid);
  const refund = { id: 'r-1', amount: 4_900, reason: 'order_not_held', state: 'pending' as const };
  const untried = { attempts: 0, refusals: 0, providerId: 'r-1', error: null, requestedAt: new Date() };
  const refunds = { $set: { refunds: [{ ...refund, ...untried }] } };
  await payments.updateOne({ providerId: 'a-1' }, refunds);
  for (let time = 0; time < 2; time++)
    expect((await report(held.orderId, 'refunds', { reference: 'a-1' })).body.refundedAmount).toBe(4_900);
  expect((await notedOf(held.orderId, 2)).map(({ action }) => action)).toEqual([
    'order.paid_externally',
    'order.refunded_externally',
  ]);

  // Of several pending refunds, only those are done which the sum that went back covers.
  const pending = [900, 4_000].map((amount, n) => {
    return { ...refund, ...untried, id: `r-${n}`, providerId: `r-${n}`, amount };
  });
  await payments.updateOne(
    { providerId: 'a-1' },
    { $set: { refunds: pending, state: 'captured' }, $inc: { revision: 1 } },
  );
  const unclear = await report(held.orderId, 'refunds', { reference: 'a-1' });
  expect([unclear.status, unclear.body.type]).toEqual([409, '/problems/not-refundable']);
  for (const [refundedAmount, done] of [
    [900, 900],
    [900, 900],
    [4_900, 4_900],
  ])
    expect((await report(held.orderId, 'refunds', { reference: 'a-1', refundedAmount })).body).toEqual({
      refundedAmount: done,
    });

  // Two payments of one order meet: the second has to go back.
  const both = await Promise.all(
    ['b-1', 'b-2'].map((reference) => report(late.orderId, 'payments', { ...price, reference })),
  );
  const lost = both.findIndex(({ status }) => status === 409);
  if (lost >= 0) {
    const reference = ['b-1', 'b-2'][lost];
    const found = await system.store.collections.payments.findOne({ providerId: reference ?? '' });
    const given = await report(late.orderId, 'refunds', { reference });
    expect([given.status, given.body.refundedAmount]).toEqual(found ? [200, 4_900] : [404, undefined]);
  }
  expect(both.filter(({ status }) => status === 200)).toHaveLength(1);
  expect((await report(late.orderId, 'refunds', { reference: 'nobody' })).status).toBe(404);
});

test('a shop that takes no payments here refuses a time to pay also when a sale is changed', async () => {
  const { url: at } = await system.startServer({ PAYMENT_PROVIDER: 'none' });
  const opensAt = new Date(Date.now() + 3_600_000);
  const closesAt = new Date(Date.now() + 7_200_000);
  const { id } = await system.createSale({ stock: 5, opensAt, closesAt });
  const change = (paymentWindowSeconds: number) =>
    system.api('PATCH', `/api/sales/${id}`, { token: system.adminToken, body: { paymentWindowSeconds }, at });
  expect(await change(600)).toMatchObject({
    status: 400,
    body: { errors: [{ field: 'paymentWindowSeconds' }] },
  });
  expect((await change(0)).status).toBe(200);
});
