import { afterAll, beforeAll, expect, test } from 'vitest';
import { waitUntil } from '../embedded/process.mjs';
import type { QueueFigures } from '../sale/admin-contract.ts';
import type { OrderRecord } from '../sale/collections.ts';
import type { SaleSnapshot } from '../sale/contract.ts';
import { startSystem, type TestSystem } from './harness.ts';
import { readSamples, valueIn } from './samples.ts';

/** The six figures of the control room, under a crowd, beside the truth in MongoDB and in the queue. */
let system: TestSystem;
let sale: SaleSnapshot;
let accepted = 0;

beforeAll(async () => {
  system = await startSystem({ env: { RECONCILE_INTERVAL_MS: '300' } });
  sale = await system.createSale({ stock: 100_000, limitPerBuyer: 100 });
});
afterAll(() => system.close());

async function figures(): Promise<QueueFigures> {
  const { body } = await system.api('GET', '/api/admin/overview', { token: system.adminToken });
  return body.figures;
}

async function press(presses: number): Promise<void> {
  const urls = system.servers.map(({ url }) => url);
  const buyer = async (first: number) => {
    for (let n = first; n < presses; n += 20) {
      const { status } = await system.buy(sale.id, system.buyerToken(), { at: urls[n % urls.length] ?? '' });
      if (status === 202) accepted += 1;
    }
  };
  await Promise.all(Array.from({ length: 20 }, (_, first) => buyer(first)));
}

const settledOrders = () => system.store.collections.orders.find({ saleId: sale.id }).lean<OrderRecord[]>();

/** Where the minute begins that the figures look at. */
const minuteAgo = () => new Date((Math.floor(Date.now() / 1_000) - 61) * 1_000);

function quantileOf(sorted: number[], share: number): number {
  return sorted[Math.ceil(sorted.length * share) - 1] ?? Number.NaN;
}

test('queue depth and age are what was accepted and has no order, in the control room and in the metrics', async () => {
  const worker = system.workers[0];
  process.kill(worker?.pid ?? 0, 'SIGSTOP');
  try {
    const startedAt = Date.now();
    await press(400);
    const orders = await settledOrders();
    const { depth, oldestMs } = await figures();
    expect(depth).toBe(accepted - orders.length);
    expect(depth).toBeGreaterThan(300);
    expect(oldestMs).toBeGreaterThan(0);
    expect(oldestMs).toBeLessThanOrEqual(Date.now() - startedAt);
    for (const { url } of system.servers) {
      const samples = readSamples((await system.api('GET', '/metrics', { at: url })).body);
      expect(valueIn(samples, 'stampede_queue_purchases')).toBe(depth);
    }
  } finally {
    process.kill(worker?.pid ?? 0, 'SIGCONT');
  }
  await system.quiet();
  expect(await figures()).toMatchObject({ depth: 0, oldestMs: 0 });
});

test('rates in and out are what was accepted and what MongoDB has, over ten seconds', async () => {
  // Within one span of ten seconds there is all of it, once the last second has everybody's counts.
  await waitUntil(async () => (await figures()).inPerSecond === 0, {
    deadlineMs: 30_000,
    what: 'no quiet span',
  });
  const before = accepted;
  const startedAt = Date.now();
  await press(600);
  await system.quiet();
  expect(Date.now() - startedAt).toBeLessThan(8_000);
  const made = (await settledOrders()).filter(({ createdAt }) => createdAt.getTime() >= startedAt).length;
  expect(made).toBe(accepted - before);
  const both = await waitUntil(
    async () => {
      const { inPerSecond, outPerSecond } = await figures();
      return Math.round(outPerSecond * 10) === made ? { inPerSecond, outPerSecond } : null;
    },
    { deadlineMs: 12_000, what: 'the rates do not add up' },
  );
  expect(both).toEqual({ inPerSecond: made / 10, outPerSecond: made / 10 });
});

test('latency is that of the orders in MongoDB, to a tenth', async () => {
  const orders = (await settledOrders()).filter(({ settledAt }) => settledAt >= minuteAgo());
  const times = orders
    .map(({ createdAt, settledAt }) => settledAt.getTime() - createdAt.getTime())
    .sort((one, other) => one - other);
  expect(times.length).toBeGreaterThanOrEqual(600);
  const { p50Ms, p99Ms } = await figures();
  for (const [figure, truth] of [
    [p50Ms, quantileOf(times, 0.5)],
    [p99Ms, quantileOf(times, 0.99)],
  ] as const) {
    expect(figure).toBeGreaterThanOrEqual(truth - 1);
    expect(figure).toBeLessThanOrEqual(truth * 1.1 + 1);
  }
});

test('a purchase that cannot be settled is a dead letter more, and takes its share of the success', async () => {
  const failing = await system.createSale({ stock: 10 });
  const { sales, orders } = system.store.collections;
  const setStock = (stock: unknown) =>
    sales.db.collection('sales').updateOne({ _id: failing.id as never }, { $set: { stock } });
  expect(await figures()).toMatchObject({ deadLetters: 0, deadLetterGrowth: 0, successRate: 1 });
  // The gate is made while the stock is right.
  expect((await system.buy(failing.id, system.buyerToken())).status).toBe(202);
  await system.quiet();
  // What looks like enough and does not match the guard.
  await setStock('9');
  expect((await system.buy(failing.id, system.buyerToken())).status).toBe(202);

  // Both look at the same minute at some moment, and then they agree to the last purchase.
  await waitUntil(
    async () => {
      const { deadLetters, deadLetterGrowth, successRate } = await figures();
      const { failed } = await system.store.queue.getJobCounts();
      const ended = (await orders.find().lean<OrderRecord[]>()).filter(
        ({ settledAt }) => settledAt >= minuteAgo(),
      );
      const settled = ended.filter(({ reason }) => reason !== 'failed');
      const areLetters = failed === 1 && deadLetters === failed && deadLetterGrowth === failed;
      return (
        areLetters && successRate !== 1 && successRate === 1 - (ended.length - settled.length) / ended.length
      );
    },
    { deadlineMs: 30_000, what: 'the figures and the truth differ' },
  );
  await setStock(9);
});
