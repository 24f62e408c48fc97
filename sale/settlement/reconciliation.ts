import { trusted } from 'mongoose';
import { mongoClock, redisClock } from '../../runtime/clock.ts';
import type { OrderRecord, SaleRecord } from '../../store/collections.ts';
import { newsOf, purchaseOf } from '../order.ts';
import { type DeadLetterShop, endDeadLetters } from './dead-letters.ts';
import { endingsOf } from './transaction.ts';

/** What a pass put right. */
export interface Reconciled {
  /** Purchases of dead letters that got an end their buyers can see. */
  givenUp: number;
  /** Settled purchases whose worker died before it could say so. */
  ended: number;
  /** Accepted purchases whose job was gone, and that have a new one. */
  requeued: number;
  /** Accepted purchases whose job was gone, and that nobody remembers. */
  forgotten: string[];
}

/** What one pass looks at, at most; the next one goes on. */
const deadLettersAtOnce = 200;
const queuedAtOnce = 1_000;
const salesAtOnce = 1_000;

/**
 * Closes what a crash left open between MongoDB, the queue and Redis. MongoDB is right; everything here can be done twice.
 * @param staleAfterMs how long a purchase may be queued before anybody asks after its job.
 */
export async function reconcile(
  shop: DeadLetterShop,
  { staleAfterMs }: { staleAfterMs: number },
): Promise<Reconciled> {
  const givenUp = await endDeadLetters(shop, deadLettersAtOnce);
  const stale = await endStalePurchases(shop, redisClock.now().getTime() - staleAfterMs);
  await tellStockAgain(shop);
  return { givenUp, ...stale };
}

async function endStalePurchases(shop: DeadLetterShop, beforeMs: number) {
  const { collections, gate, queue, announceSettled } = shop;
  const stale = await gate.listQueuedBefore(beforeMs, queuedAtOnce);
  const report = { ended: 0, requeued: 0, forgotten: [] as string[] };
  if (stale.length === 0) return report;

  const ids = stale.map(({ orderId }) => orderId);
  const records = await collections.orders.find({ _id: trusted({ $in: ids }) }).lean<OrderRecord[]>();
  // What its admission took; of a forgotten one, the order tells.
  const queuedAs = await gate.findPurchases(ids);
  const ended = records.map((record) => queuedAs.get(record._id) ?? purchaseOf(record));
  await gate.end(endingsOf(ended, records));
  announceSettled({ stocks: [], orders: records.map(newsOf) });
  report.ended = records.length;

  // A job carries the time at which its purchases were accepted, so the oldest job tells which have none.
  const settled = new Set(records.map(({ _id }) => _id));
  const oldestMs = await queue.oldestJobMs();
  const orphans = stale.filter(
    ({ orderId, acceptedAtMs }) => !settled.has(orderId) && acceptedAtMs < oldestMs,
  );
  const { purchases, forgotten } = await gate.recall(orphans.map(({ orderId }) => orderId));
  report.forgotten = forgotten;
  if (purchases.length === 0) return report;
  const timeMs = await queue.add([{ purchases }]);
  await gate.requeue(
    purchases.map(({ orderId }) => orderId),
    timeMs,
  );
  report.requeued = purchases.length;
  return report;
}

/** The stock of sales that are on, told again to whoever missed it. */
async function tellStockAgain({ collections, announceSettled }: DeadLetterShop): Promise<void> {
  const now = redisClock.now();
  const on = { opensAt: trusted({ $lte: now }), closesAt: trusted({ $gt: now }) };
  const open = await collections.sales
    .find(on, 'stock stockVersion')
    .limit(salesAtOnce)
    .lean<Pick<SaleRecord, '_id' | 'stock' | 'stockVersion'>[]>();
  const at = mongoClock.now().toISOString();
  const stocks = open.map(({ _id: saleId, stock, stockVersion }) => ({ saleId, stock, stockVersion, at }));
  announceSettled({ stocks, orders: [] });
}
