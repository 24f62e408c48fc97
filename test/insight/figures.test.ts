import { afterAll, beforeAll, expect, test } from 'vitest';
import type { QueueFigures } from '../../insight/contract.ts';
import type { BusEvent } from '../../messages/bus.ts';
import { openBus } from '../../messages/open-bus.ts';
import { registerSubscription } from '../../messages/subscriptions.ts';
import { waitUntil } from '../../ops/local/processes/process.mjs';
import { openLog } from '../../runtime/observe/log.ts';
import type { SaleSnapshot } from '../../sale/contract.ts';
import type { OrderRecord } from '../../store/collections.ts';
import { startSystem, type TestSystem } from '../support/harness.ts';
import { readSamples, readWithFigures, valueIn } from '../support/samples.ts';

/** Compares the six figures of the control room, under load, with MongoDB and the queue. */
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

const samplesAt = async (url: string) => readSamples((await system.api('GET', '/metrics', { at: url })).body);

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

const settledOrders = () => system.store.collections.orders.find({ saleId: sale.id }).toArray();

/** The start of a span of the figures, which leave out the last two, incomplete seconds. */
const spanStart = (seconds: number) => new Date((Math.floor(Date.now() / 1_000) - 1 - seconds) * 1_000);

function quantileOf(sorted: number[], share: number): number {
  return sorted[Math.ceil(sorted.length * share) - 1] ?? Number.NaN;
}

test('queue depth and age in the control room and in the metrics match accepted purchases without an order', async () => {
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
      const samples = await readWithFigures(() => samplesAt(url));
      expect(valueIn(samples, 'stampede_queue_purchases')).toBe(depth);
    }
  } finally {
    process.kill(worker?.pid ?? 0, 'SIGCONT');
  }
  await system.quiet();
  expect(await figures()).toMatchObject({ depth: 0, oldestMs: 0 });
});

test('the rates in and out match accepted purchases and orders in MongoDB over ten seconds', async () => {
  // So few that they fit into the ten seconds on a slow machine too.
  await press(300);
  await system.quiet();
  const orders = await settledOrders();
  const since = (start: Date, time: (order: OrderRecord) => Date) =>
    orders.filter((order) => time(order) >= start).length;
  await waitUntil(
    async () => {
      const start = spanStart(10);
      const { inPerSecond, outPerSecond } = await figures();
      const [accepted, settled] = [
        since(start, (one) => one.createdAt),
        since(start, (one) => one.settledAt),
      ];
      const isAllIn = Math.min(accepted, settled) >= 300;
      return isAllIn && inPerSecond === accepted / 10 && outPerSecond === settled / 10;
    },
    { deadlineMs: 15_000, what: 'the rates and MongoDB differ' },
  );
});

test('the latency matches the orders in MongoDB within a tenth', async () => {
  const orders = (await settledOrders()).filter(({ settledAt }) => settledAt >= spanStart(60));
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

test('consumer lag counts the events queued for a stopped subscriber, until it has caught up', async () => {
  const bus = openBus(system.store.config, openLog(system.store.config, 'test'), () => false);
  const subscription = { name: 'sleeper', types: ['test.*'] };
  await waitUntil(() => bus.declare([subscription]).then(() => true), { deadlineMs: 5_000, what: 'no bus' });
  await registerSubscription(system.store.collections, subscription);
  const events = Array.from(
    { length: 7 },
    (_, n): BusEvent => ({
      specversion: '1.0',
      id: `test:${n}`,
      source: '/test',
      type: 'test.happened',
      time: new Date().toISOString(),
      datacontenttype: 'application/json',
      data: {},
    }),
  );
  await bus.publish(events);
  expect(await bus.countWaiting('sleeper')).toBe(7);
  expect((await figures()).lag).toMatchObject({ sleeper: 7 });
  for (const { url } of [...system.servers, ...system.workers]) {
    const samples = await readWithFigures(() => samplesAt(url));
    expect(valueIn(samples, 'stampede_consumer_lag_events', { subscriber: 'sleeper' })).toBe(7);
  }
  const subscribed = await bus.subscribe({ ...subscription, maxBatch: 10, handle: async () => {} });
  await waitUntil(async () => (await figures()).lag.sleeper === 0, { deadlineMs: 15_000, what: 'it lags' });
  // The shop's own subscribers have caught up as well.
  await waitUntil(async () => Object.values((await figures()).lag).every((waiting) => waiting === 0), {
    deadlineMs: 15_000,
    what: 'the others lag',
  });
  expect(Object.keys((await figures()).lag).sort()).toEqual(['analytics', 'sleeper', 'webhooks']);
  await subscribed.close();
  await bus.close();
});

test('a purchase that cannot be settled adds a dead letter and lowers the success rate', async () => {
  const failing = await system.createSale({ stock: 10 });
  const { sales } = system.store.collections;
  const setStock = (stock: unknown) =>
    sales.updateOne({ _id: failing.id }, { $set: { stock: stock as number } });
  expect(await figures()).toMatchObject({ deadLetters: 0, deadLetterGrowth: 0, successRate: 1 });
  // The gate is created while the stock is still valid.
  expect((await system.buy(failing.id, system.buyerToken())).status).toBe(202);
  await system.quiet();
  // An invalid stock that passes the check but not the guarded update.
  await setStock('9');
  expect((await system.buy(failing.id, system.buyerToken())).status).toBe(202);

  // Retried until both cover the same minute, and then they agree exactly.
  await waitUntil(
    async () => {
      const { deadLetters, deadLetterGrowth, successRate } = await figures();
      const { failed } = await system.store.queue.countJobs();
      const areLetters = failed === 1 && deadLetters === failed && deadLetterGrowth === failed;
      // One of all presses of the minute was accepted and given up.
      return areLetters && successRate !== null && successRate > 0 && successRate < 1;
    },
    { deadlineMs: 30_000, what: 'the figures and MongoDB differ' },
  );
  await setStock(9);
});
