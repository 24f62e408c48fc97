import { afterEach, expect, test } from 'vitest';
import { waitUntil } from '../../embedded/process.mjs';
import { startSystem, type TestSystem } from '../harness.ts';
import { accepts, expectNothingLost, openCrowd } from './crowd.ts';

/** Row 11 of the fault matrix: a consumer dies before its ack. And Redis, which carries the events, dies. */

let system: TestSystem;
afterEach(() => system.close());

const env = {
  SUBSCRIBERS: 'analytics',
  JOB_LOCK_MS: '1500',
  RECONCILE_INTERVAL_MS: '500',
  RECONCILE_AFTER_MS: '3000',
};

/** What analytics counted of a sale, once it has come to as many paid orders as there are. */
async function expectCountedOnce(saleId: string): Promise<void> {
  const { orders, minutes } = system.store.collections;
  const [sums] = await orders.aggregate([
    { $match: { saleId } },
    {
      $group: {
        _id: null,
        accepted: { $sum: 1 },
        paid: { $sum: { $cond: [{ $eq: ['$status', 'paid'] }, 1, 0] } },
        units: { $sum: { $cond: [{ $eq: ['$status', 'paid'] }, '$quantity', 0] } },
      },
    },
  ]);
  const counted = async () => {
    const [sum] = await minutes.aggregate([
      { $match: { saleId } },
      {
        $group: {
          _id: null,
          accepted: { $sum: '$accepted' },
          paid: { $sum: '$paid' },
          units: { $sum: '$units' },
        },
      },
    ]);
    return sum;
  };
  await waitUntil(async () => ((await counted())?.accepted ?? 0) >= sums.accepted, {
    deadlineMs: 30_000,
    what: `analytics counts ${sums.accepted} accepted purchases`,
  });
  await nothingWaits();
  expect(await counted()).toEqual(sums);
}

/** Events that came twice are behind those that were counted. */
async function nothingWaits(): Promise<void> {
  const { redis } = system.store;
  const left = async () => {
    const lists = await Promise.all(
      ['wait', 'active'].map((state) => redis.llen(`bull:events-analytics:${state}`)),
    );
    return lists.every((length) => length === 0);
  };
  await waitUntil(left, { deadlineMs: 20_000, what: 'no event waits for analytics' });
}

test.each(['relayed', 'handled'])(
  'a worker dies when events are "%s": each has its effect once',
  async (point) => {
    system = await startSystem({ servers: 1, workers: 0, nginx: false, env });
    const doomed = await system.startWorker({ FAILPOINTS: `${point}@3=kill` });
    const sale = await system.createSale({ stock: 100_000, limitPerBuyer: 6 });
    const crowd = openCrowd(system, sale);
    expect(await doomed.ended).toBe('SIGKILL');
    await accepts(crowd, 30);
    await system.startWorker();
    await accepts(crowd, 30);
    await expectNothingLost(system, sale, crowd);
    await expectCountedOnce(sale.id);
  },
);

test('Redis is killed and started again: every event still has its effect once', async () => {
  system = await startSystem({ servers: 1, workers: 1, nginx: false, env });
  const sale = await system.createSale({ stock: 100_000, limitPerBuyer: 6 });
  const crowd = openCrowd(system, sale);
  await accepts(crowd, 100);
  process.kill(system.redis().pid, 'SIGKILL');
  await system.restartRedis();
  await accepts(crowd, 100);
  await expectNothingLost(system, sale, crowd);
  await expectCountedOnce(sale.id);
});
