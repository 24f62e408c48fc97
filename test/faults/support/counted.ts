import { expect } from 'vitest';
import { openBus } from '../../../messages/open-bus.ts';
import { waitUntil } from '../../../ops/local/processes/process.mjs';
import { openLog } from '../../../runtime/observe/log.ts';
import type { TestSystem } from '../../support/harness.ts';

/** What analytics counted of a sale is what MongoDB has of it, once no event waits any more. */
export async function expectCountedOnce(system: TestSystem, saleId: string): Promise<void> {
  const { orders, minutes } = system.store.collections;
  const made = async () => {
    const [sum] = await orders.aggregate([
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
    return sum;
  };
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
  const { accepted } = await made();
  await waitUntil(async () => ((await counted())?.accepted ?? 0) >= accepted, {
    deadlineMs: 30_000,
    what: `analytics counts ${accepted} accepted purchases`,
  });
  await nothingWaits(system);
  // Read again: an order that came meanwhile is no repeat.
  expect(await counted()).toEqual(await made());
}

/** Events that came twice are behind those that were counted. */
async function nothingWaits({ store: { config } }: TestSystem): Promise<void> {
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
