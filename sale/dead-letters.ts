import type Bull from 'bull';
import { trusted } from 'mongoose';
import { type Collections, driverOf, type OrderRecord, type SaleRecord } from './collections.ts';
import type { Purchase, PurchaseJob } from './contract.ts';
import { appendChanges } from './events.ts';
import type { Gate } from './gate.ts';
import { changeOf, newsOf } from './order.ts';
import { jobOptions, type PurchaseQueue, readJob } from './queue.ts';
import { recordOf, type Settled } from './transaction.ts';

/** A job that failed as often as it is tried. It stays in Bull's failed set until somebody decides about it. */
export interface DeadLetter {
  id: string;
  reason: string;
  attempts: number;
  failedAt: string;
  /** What the job carries, as it stands there. */
  data: unknown;
  /** Of each attempt, the latest last. */
  stacks: string[];
}

/** Newest first. */
export async function listDeadLetters(
  queue: PurchaseQueue,
  { start = 0, limit = 20 } = {},
): Promise<DeadLetter[]> {
  const jobs = await queue.getJobs(['failed'], start, start + limit - 1);
  return jobs.filter(Boolean).map(deadLetterOf);
}

export async function findDeadLetter(queue: PurchaseQueue, id: string): Promise<DeadLetter | null> {
  const job = await findFailed(queue, id);
  return job && deadLetterOf(job);
}

/**
 * Puts a dead letter back into the queue, to be decided again.
 * @returns false when there is no such dead letter (any more): republishing twice settles once.
 */
export async function republish(queue: PurchaseQueue, id: string): Promise<boolean> {
  const job = await findFailed(queue, id);
  if (!job) return false;
  await job.update({ ...job.data, again: true });
  return await job.retry().then(
    () => true,
    async (error) => {
      if (await job.isFailed()) throw error;
      return false; // Somebody else was quicker.
    },
  );
}

/** Takes a dead letter away for good; its buyers' orders stay rejected. @returns false when there is none. */
export async function discard(shop: DeadLetterShop, id: string): Promise<boolean> {
  const job = await findFailed(shop.queue, id);
  if (!job) return false;
  await giveUp(shop, job);
  await job.remove();
  return true;
}

export interface DeadLetterShop {
  collections: Collections;
  gate: Gate;
  queue: PurchaseQueue;
  /** Tells the buyers. */
  announceSettled: (settled: Settled) => void;
}

/**
 * Gives each purchase of a dead letter an end that its buyer can see: an order, rejected because it failed. Its units
 * go back on sale. Safe to do twice.
 * @returns how many got their end by this.
 */
export async function giveUp(
  { collections, gate, announceSettled }: DeadLetterShop,
  job: Bull.Job<PurchaseJob>,
): Promise<number> {
  let ended = 0;
  for (const purchase of validPurchases(job)) {
    const record = recordOf({ purchase, status: 'rejected', reason: 'failed' }, new Date());
    if (!(await insertGivenUp(collections, record))) continue;
    await gate.end([{ ...purchase, reason: 'failed' }]);
    announceSettled({ stocks: [], orders: [newsOf(record)] });
    ended += 1;
  }
  return ended;
}

/** @returns false when the purchase has its order already. */
async function insertGivenUp(collections: Collections, record: OrderRecord): Promise<boolean> {
  const { orders, sales } = collections;
  return await orders.db.withSession((session) =>
    session.withTransaction(async () => {
      if (await orders.exists({ _id: record._id }).session(session)) return false;
      await driverOf(orders).insertOne(record, { session });
      const sale = await sales
        .findByIdAndUpdate(record.saleId, { $inc: { eventSeq: 1 } }, { session, returnDocument: 'after' })
        .lean<SaleRecord>();
      const entry = { saleId: record.saleId, seq: sale?.eventSeq ?? 0, changes: [changeOf(record)] };
      if (sale) await appendChanges(collections, [entry], record.settledAt, session);
      return true;
    }),
  );
}

/**
 * Sees to it that every purchase of the newest dead letters has an end. A job can also fail although it was settled,
 * when its worker was too busy to tell Bull: then it is no dead letter, and goes.
 * @returns how many purchases got their end by this.
 */
export async function endDeadLetters(shop: DeadLetterShop, limit: number): Promise<number> {
  const jobs = (await shop.queue.getJobs(['failed'], 0, limit - 1)).filter(Boolean);
  const letters = jobs.map((job) => ({ job, ids: validPurchases(job).map(({ orderId }) => orderId) }));
  const all = letters.flatMap(({ ids }) => ids);
  const records = await shop.collections.orders
    .find({ _id: trusted({ $in: all }) }, 'reason')
    .lean<Pick<OrderRecord, '_id' | 'reason'>[]>();
  const reasons = new Map(records.map(({ _id, reason }) => [_id, reason]));

  let ended = 0;
  for (const { job, ids } of letters) {
    const isWhole = ids.length >= (job.data?.purchases?.length ?? 1);
    if (!ids.every((id) => reasons.has(id))) ended += await giveUp(shop, job);
    else if (isWhole && ids.every((id) => reasons.get(id) !== 'failed')) await job.remove();
  }
  return ended;
}

function validPurchases(job: Bull.Job<PurchaseJob>): Purchase[] {
  try {
    return readJob(job.data).purchases;
  } catch {
    return []; // Nothing in it names a buyer.
  }
}

async function findFailed(queue: PurchaseQueue, id: string): Promise<Bull.Job<PurchaseJob> | null> {
  const job = await queue.getJob(id);
  return job && (await job.isFailed()) ? job : null;
}

function deadLetterOf(job: Bull.Job<PurchaseJob>): DeadLetter {
  return {
    id: String(job.id),
    reason: job.failedReason ?? 'unknown',
    attempts: Math.max(job.attemptsMade, job.stacktrace.length),
    failedAt: new Date(job.finishedOn ?? job.timestamp).toISOString(),
    data: job.data,
    stacks: job.stacktrace.slice(-jobOptions.attempts),
  };
}
