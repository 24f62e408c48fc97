import { LRUCache } from 'lru-cache';
import { mongoClock } from '../runtime/clock.ts';
import { singleFlight } from '../runtime/single-flight.ts';
import { notOfRehearsals } from '../sale/rehearsal.ts';
import type { Collections } from '../store/collections.ts';

const freshMs = 5_000;

/**
 * @returns a function that sums what was captured for a sale and not given back, in minor units; null when it has no
 *   payments here. It is cached for some seconds, because every open report asks for it.
 */
export function openMoneyTaken(collections: Pick<Collections, 'payments'>) {
  const cache = new LRUCache<string, { taken: number | null }>({ max: 100, ttl: freshMs });
  return singleFlight(async (saleId) => {
    const cached = cache.get(saleId);
    if (cached) return cached.taken;
    const succeeded = {
      $filter: { input: '$refunds', cond: { $eq: ['$$this.state', 'succeeded'] } },
    };
    const refunded = { $sum: { $map: { input: succeeded, in: '$$this.amount' } } };
    const [sums] = await collections.payments
      .aggregate<{ taken: number }>([
        { $match: { saleId } },
        { $group: { _id: null, taken: { $sum: { $subtract: ['$capturedAmount', refunded] } } } },
      ])
      .toArray();
    const taken = sums?.taken ?? null;
    cache.set(saleId, { taken });
    return taken;
  });
}

/** Holds and payments of the whole shop without its rehearsals, for the metrics and the control room. */
export async function readMoneyFigures({ orders, payments }: Collections) {
  const [holds, [oldest], failedRefunds] = await Promise.all([
    orders.countDocuments(
      { ...notOfRehearsals, status: 'held', holdExpiresAt: { $type: 'date' } },
      { limit: maxCounted },
    ),
    payments
      .find({ ...notOfRehearsals, dueAt: { $type: 'date' } }, { projection: { dueAt: 1 } })
      .sort({ dueAt: 1 })
      .limit(1)
      .toArray(),
    payments.countDocuments(
      { ...notOfRehearsals, 'refunds.state': 'failed' },
      { limit: maxCounted, hint: 'failed_refunds' },
    ),
  ]);
  const dueMs = oldest?.dueAt ? Math.max(0, mongoClock.now().getTime() - oldest.dueAt.getTime()) : 0;
  return { holds, failedRefunds, dueMs };
}

const maxCounted = 100_000;
