import { expect } from 'vitest';
import { openBus } from '../../../messages/open-bus.ts';
import { waitUntil } from '../../../ops/local/processes/process.mjs';
import { openLog } from '../../../runtime/observe/log.ts';
import type { TestSystem } from '../../support/harness.ts';

/** Checks that analytics counted exactly the orders that MongoDB has, once no event is queued. */
export async function expectCountedOnce(system: TestSystem, saleId: string): Promise<void> {
  const { orders, minutes } = system.store.collections;
  const made = async () => {
    const [sum] = await orders
      .aggregate([
        { $match: { saleId } },
        {
          $group: {
            _id: null,
            accepted: { $sum: 1 },
            paid: { $sum: { $cond: [{ $eq: ['$status', 'paid'] }, 1, 0] } },
            units: { $sum: { $cond: [{ $eq: ['$status', 'paid'] }, '$quantity', 0] } },
          },
        },
      ])
      .toArray();
    return sum;
  };
  const counted = async () => {
    const [sum] = await minutes
      .aggregate([
        { $match: { saleId } },
        {
          $group: {
            _id: null,
            accepted: { $sum: '$accepted' },
            paid: { $sum: '$paid' },
            units: { $sum: '$units' },
          },
        },
      ])
      .toArray();
    return sum;
  };
  const { accepted } = (await made()) ?? {};
  await waitUntil(async () => ((await counted())?.accepted ?? 0) >= accepted, {
    deadlineMs: 30_000,
    what: `analytics counts ${accepted} accepted purchases`,
  });
  await noEventsQueued(system);
  // Orders are read again, because a new order is not a duplicate count.
  expect(await counted()).toEqual(await made());
}

/** Waits until the queue is empty, because duplicates are queued behind the counted events. */
async function noEventsQueued({ store: { config } }: TestSystem): Promise<void> {
  const bus = openBus(config, openLog(config, 'test'), () => false);
  try {
    await waitUntil(async () => (await bus.countWaiting('analytics')) === 0, {
      deadlineMs: 20_000,
      what: 'no event waits for analytics',
    });
  } finally {
    await bus.close();
  }
}
