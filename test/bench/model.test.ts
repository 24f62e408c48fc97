import { expect, test } from 'vitest';
import { fitCosts, type Usage } from '../../bench/model/fit.ts';
import { type Costs, type Layout, simulateLoad } from '../../bench/model/simulate.ts';

const micro = 1e-6;
const costs: Costs = {
  client: { press: 0 },
  nginx: { press: 20 * micro },
  server: { press: 80 * micro, flush: 100 * micro },
  redis: { press: 30 * micro, flush: 50 * micro },
  worker: { press: 40 * micro, batch: 500 * micro },
  mongo: { press: 50 * micro, batch: 1_000 * micro },
  waits: { flush: 1_000 * micro, commit: 2_000 * micro },
};
/** A core for each process. */
const spread: Layout = {
  machines: [1, 1, 1, 1, 1, 1],
  ...{ clients: [0], nginx: [1], servers: [2], redis: [3], workers: [4], mongo: [5] },
};

test('one client waits for each step in turn', () => {
  const { answerMs, paidMs, acceptedPerSecond } = simulateLoad(costs, spread, {
    presses: 1_000,
    connections: 1,
    sales: 1,
  });
  // 0.26 ms of work, of which the server does 0.04 after the answer and delays the next press by half of it, and 1 ms for the disk.
  const meanMs = 1_000 / acceptedPerSecond;
  expect(meanMs).toBeCloseTo(1.26, 1);
  // Most waits for a disk are shorter than their mean.
  expect(answerMs.p50).toBeCloseTo(meanMs - 1 + Math.LN2, 1);
  expect(paidMs.p50).toBeGreaterThan(answerMs.p50);
});

test('many clients get what the busiest process can do, and two servers do twice as much', () => {
  const load = { presses: 20_000, connections: 1_000, sales: 1 };
  const one = simulateLoad(costs, spread, load);
  expect(one.busy.servers).toBeGreaterThan(0.8);
  expect(one.acceptedPerSecond).toBeGreaterThan(9_000);
  expect(one.acceptedPerSecond).toBeLessThan(12_500);
  const two = simulateLoad(costs, { ...spread, machines: [...spread.machines, 1], servers: [2, 6] }, load);
  expect(two.acceptedPerSecond / one.acceptedPerSecond).toBeGreaterThan(1.5);
});

test('a sale in each shard has flushes of its own', () => {
  const load = { presses: 5_000, connections: 200 };
  const [one, many] = [1, 16].map((sales) => simulateLoad(costs, spread, { ...load, sales }));
  expect(many?.busy.redis).toBeGreaterThan(1.2 * (one?.busy.redis ?? 1));
});

test('processes that share a core share its time', () => {
  const load = { presses: 5_000, connections: 200, sales: 1 };
  const alone = { ...spread, ...{ nginx: [1], servers: [1], redis: [1], workers: [1], mongo: [1] } };
  const { settledPerSecond, busy } = simulateLoad(costs, alone, load);
  expect(busy.machine).toBeGreaterThan(0.95);
  expect(settledPerSecond).toBeLessThan(1 / (220 * micro));
});

test('costs are found again in what loads have used', () => {
  const usageOf = (presses: number, flushes: number, batches: number): Usage => ({
    ...{ presses, flushes, batches },
    cpu: {
      client: presses * 10 * micro,
      nginx: presses * costs.nginx.press,
      server: presses * costs.server.press + flushes * costs.server.flush,
      redis: presses * costs.redis.press + flushes * costs.redis.flush,
      worker: presses * costs.worker.press + batches * costs.worker.batch,
      mongo: presses * costs.mongo.press + batches * costs.mongo.batch,
    },
    waits: { flush: 1_080 * micro, commit: 3_500 * micro },
  });
  const found = fitCosts([usageOf(100, 100, 100), usageOf(5_000, 1_000, 400), usageOf(20_000, 900, 300)]);
  for (const kind of ['nginx', 'server', 'redis', 'worker', 'mongo', 'waits'] as const) {
    for (const [what, value] of Object.entries(costs[kind]))
      expect((found[kind] as Record<string, number>)[what], `${kind} ${what}`).toBeCloseTo(value, 9);
  }
});
