import { mongoClock, redisClock } from '../../runtime/clock.ts';
import { isRedisAway } from '../../runtime/databases/connections.ts';
import { stockMessageOf } from '../items.ts';
import { orderMessageOf, purchaseOf } from '../order.ts';
import type { Shard } from '../shard.ts';
import { rejectDeadLetters, type SettlementDependencies } from './dead-letters.ts';
import { settledPurchasesOf } from './transaction.ts';

/** What one pass repaired. */
export interface Reconciled {
  /** Purchases of dead letters that got a rejected order. */
  failed: number;
  /** Settled purchases that were still listed as queued, because their worker died after its commit. */
  ended: number;
  /** Accepted purchases whose job was lost, and that got a new one. */
  requeued: number;
  /** Order ids of accepted purchases whose job was lost and whose content Redis no longer holds. */
  forgotten: string[];
}

/** Limits of one pass, in each shard where purchases are queued; the next pass handles the rest. */
const deadLettersAtOnce = 200;
const queuedAtOnce = 1_000;
const salesAtOnce = 1_000;

/**
 * Repairs what a crash left inconsistent between MongoDB, the queue and Redis. MongoDB is the truth, and each step is
 * idempotent. A shard whose Redis is away does not hold up the others.
 * @param dependencies whose commands fail while Redis, or a node of a cluster, is away.
 * @param staleAfterMs how long a purchase may be queued before the reconciler checks for its order and its job.
 * @returns does one pass; `onAway` is called for each shard whose Redis is away, which is a fault without it.
 */
export function openReconciliation(
  dependencies: SettlementDependencies,
  { staleAfterMs }: { staleAfterMs: number },
): (onAway?: (shard: Shard, error: Error) => void) => Promise<Reconciled> {
  const { gate } = dependencies;
  /** Where the older dead letters are looked at in the next pass; they may lie for days, so not all are in each. */
  let olderFrom = deadLettersAtOnce;

  async function rejectSome(): Promise<number> {
    const newest = await rejectDeadLetters(dependencies, { start: 0, limit: deadLettersAtOnce });
    if (newest.looked < deadLettersAtOnce) return newest.rejected;
    const older = await rejectDeadLetters(dependencies, { start: olderFrom, limit: deadLettersAtOnce });
    olderFrom = older.looked < deadLettersAtOnce ? deadLettersAtOnce : olderFrom + deadLettersAtOnce;
    return newest.rejected + older.rejected;
  }

  return async (onAway) => {
    const report: Reconciled = { failed: await rejectSome(), ended: 0, requeued: 0, forgotten: [] };
    const beforeMs = redisClock.now().getTime() - staleAfterMs;
    const orAway = (shard: Shard) => (error: Error) => {
      if (!onAway || !isRedisAway(error)) throw error;
      onAway(shard, error);
      return [];
    };
    // Read at once, so that those that are away are not waited for one after the other.
    const stale = gate.shards.map(
      async (shard) =>
        [shard, await gate.listQueuedBefore(shard, beforeMs, queuedAtOnce).catch(orAway(shard))] as const,
    );
    for (const [shard, purchases] of await Promise.all(stale))
      if (purchases.length > 0)
        await repairStalePurchases(dependencies, shard, purchases, report).catch(orAway(shard));
    await announceStockAgain(dependencies);
    return report;
  };
}

async function repairStalePurchases(
  { collections, gate, queue, announceSettled }: SettlementDependencies,
  shard: Shard,
  stale: { orderId: string; acceptedAtMs: number }[],
  report: Reconciled,
): Promise<void> {
  const ids = stale.map(({ orderId }) => orderId);
  const records = await collections.orders.find({ _id: { $in: ids } }).toArray();
  // Redis holds the units that the admission took; when that has expired, the order has the same values.
  const queuedAs = await gate.findPurchases(shard, ids);
  const ended = records.map((record) => queuedAs.get(record._id) ?? purchaseOf(record));
  await gate.removeSettled(settledPurchasesOf(ended, records));
  announceSettled({ stocks: [], orders: records.map(orderMessageOf) });
  report.ended += records.length;

  // A job carries its purchases' time of acceptance, so a purchase older than the oldest job has no job.
  const settled = new Set(records.map(({ _id }) => _id));
  const oldestMs = await queue.oldestJobMs(shard);
  const orphans = stale.filter(
    ({ orderId, acceptedAtMs }) => !settled.has(orderId) && acceptedAtMs < oldestMs,
  );
  const { purchases, forgotten } = await gate.recall(
    shard,
    orphans.map(({ orderId }) => orderId),
  );
  report.forgotten.push(...forgotten);
  if (purchases.length === 0) return;
  const timeMs = await queue.add([{ purchases }]);
  await gate.requeue(
    shard,
    purchases.map(({ orderId }) => orderId),
    timeMs,
  );
  report.requeued += purchases.length;
}

/** Announces the stock of open sales again, for pages that missed a message. */
async function announceStockAgain({ collections, announceSettled }: SettlementDependencies): Promise<void> {
  const now = redisClock.now();
  const isOpen = { opensAt: { $lte: now }, closesAt: { $gt: now } };
  const open = await collections.sales.find(isOpen).limit(salesAtOnce).toArray();
  const at = mongoClock.now();
  announceSettled({ stocks: open.map((sale) => stockMessageOf(sale, at)), orders: [] });
}
