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

/** A held order whose payment is started. */
async function holdAndStart({ seconds = 60 } = {}) {
  const { id } = await system.createSale({ stock: 5 });
  const token = system.buyerToken();
  const { orderId } = (await system.buy(id, token)).body;
  await system.settled(orderId, token);
  const holdExpiresAt = new Date(Date.now() + seconds * 1_000);
  const { orders } = system.store.collections;
  await orders.updateOne({ _id: orderId }, { $set: { status: 'held', holdExpiresAt } });
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
