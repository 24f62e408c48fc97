import { nanoid } from 'nanoid';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { waitUntil } from '../../../ops/local/processes/process.mjs';
import { startSystem, type TestSystem } from '../../support/harness.ts';

/** Workers and servers that die before and after each step of a payment: mark, capture, void, refund and expire. */

let system: TestSystem;
beforeAll(async () => {
  system = await startSystem({
    servers: 1,
    nginx: false,
    env: {
      PAYMENT_PROVIDER: 'simulated',
      SIMULATED_LATENCY_MS: '0',
      PAYMENTS_INTERVAL_MS: '50',
      PAYMENT_STEP_MS: '500',
    },
  });
});
afterAll(() => system.close());

interface Held {
  orderId: string;
  token: string;
}

const ofEach = 4;
const asStaff = () => ({ token: system.adminToken });

async function hold(saleId: string): Promise<Held> {
  const token = system.buyerToken();
  const { body } = await system.buy(saleId, token);
  expect((await system.settled(body.orderId, token)).status).toBe('held');
  return { orderId: body.orderId, token };
}

/** Authorises the payment at the provider, and writes what a server has stored that died after the webhook. */
async function authorise({ orderId, token }: Held): Promise<void> {
  const { body } = await system.api('POST', `/api/orders/${orderId}/payments`, { token });
  const paid = { clientSecret: body.clientSecret, card: 'webhook-lost' };
  await system.api('POST', '/api/payments/simulated/confirmations', { body: paid });
  const now = new Date();
  const stored = { state: 'authorised', authorisedAt: now, dueAt: now } as const;
  await system.store.collections.payments.updateOne({ orderId }, { $set: stored, $inc: { revision: 1 } });
}

const cancel = ({ orderId, token }: Held) => system.api('DELETE', `/api/orders/${orderId}`, { token });

/** Lets a worker die at each of these points, one after the other, and then a whole one do what is left. */
async function outlive(points: string[]): Promise<void> {
  for (const point of points) {
    const doomed = await system.startWorker({ FAILPOINTS: `${point}=kill` });
    expect(await doomed.ended, point).toBe('SIGKILL');
  }
  const { orders, payments } = system.store.collections;
  const worker = await system.startWorker();
  await waitUntil(
    async () => {
      const due = await orders.countDocuments({ status: 'held', holdExpiresAt: { $lte: new Date() } });
      return due === 0 && (await payments.countDocuments({ dueAt: { $ne: null } })) === 0;
    },
    { deadlineMs: 30_000, what: 'every step is taken' },
  );
  await worker.close();
}

/** What the provider has of an order's money, in minor units. */
async function balanceOf({ orderId }: Held): Promise<number> {
  const { simulatedPayments: ledger } = system.store.collections;
  const records = await ledger.find({ paymentId: { $regex: `^${orderId}\\.` } }).toArray();
  const back = records.flatMap(({ refunds }) => refunds).reduce((sum, { amount }) => sum + amount, 0);
  return records.reduce((sum, { capturedAmount }) => sum + capturedAmount, 0) - back;
}

const statesOf = (helds: Held[]) =>
  Promise.all(
    helds.map(async (held) => {
      const { body } = await system.api('GET', `/api/orders/${held.orderId}`, { token: held.token });
      return [body.status, await balanceOf(held)];
    }),
  );

test('whichever step of a payment or an expiry a process dies at, the money ends where the order is', async () => {
  const { orders } = system.store.collections;
  const { id } = await system.createSale({ stock: 100, paymentWindowSeconds: 3_600 });
  const holdMany = () => Promise.all(Array.from({ length: ofEach }, () => hold(id)));
  const [paid, given, late] = await Promise.all([holdMany(), holdMany(), holdMany()]);
  await Promise.all(system.workers.map((worker) => worker.close()));
  for (const held of [...paid, ...given]) await authorise(held);
  for (const held of given) expect((await cancel(held)).status).toBe(200);
  await outlive(['marking@1', 'marked@1', 'asking@2', 'asked@2']);
  const lateIds = late.map(({ orderId }) => orderId);
  await orders.updateMany({ _id: { $in: lateIds } }, { $set: { holdExpiresAt: new Date(0) } });
  await outlive(['expiring@1', 'expired@1']);
  expect(await statesOf(paid)).toEqual(paid.map(() => ['paid', 4_900]));
  expect(await statesOf(given)).toEqual(given.map(() => ['cancelled', 0]));
  expect(await statesOf(late)).toEqual(late.map(() => ['expired', 0]));

  const [returned, second, part, whole] = paid as [Held, Held, Held, Held];
  for (const held of [returned, second]) expect((await cancel(held)).status).toBe(200);
  for (const [held, amount, point] of [
    [part, 900, 'refunding'],
    [whole, undefined, 'written'],
  ] as const) {
    const doomed = await system.startServer({ FAILPOINTS: `${point}@1=kill` });
    const request = {
      ...asStaff(),
      headers: { 'Idempotency-Key': nanoid() },
      body: { reason: 'It came broken', ...(amount && { amount }) },
    };
    const path = `/api/admin/orders/${held.orderId}/refunds`;
    await expect(system.api('POST', path, { ...request, at: doomed.url })).rejects.toThrow();
    expect(await doomed.ended).toBe('SIGKILL');
    await doomed.close();
    expect((await system.api('POST', path, request)).status).toBe(200);
  }
  await outlive(['asking@1', 'asked@1']);
  expect(await statesOf(paid)).toEqual([
    ['cancelled', 0],
    ['cancelled', 0],
    ['paid', 4_000],
    ['refunded', 0],
  ]);

  const { I1, I3, I5, I7 } = await system.audit();
  for (const { breaches, examples } of [I1, I3, I5, I7])
    expect({ breaches, examples }).toMatchObject({ breaches: 0 });
  expect(I7).toMatchObject({ pending: 0, captured: { EUR: 4 * 4_900 }, refunded: { EUR: 3 * 4_900 + 900 } });
}, 180_000);
