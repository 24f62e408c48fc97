import Bull from 'bull';
import type { Redis } from 'ioredis';
import { z } from 'zod';
import type { Purchase, PurchaseJob } from './contract.ts';

export type PurchaseQueue = Bull.Queue<PurchaseJob>;

/** The handler's name for a job that was added without one, as Bull spells it. */
export const jobName = '__default__';

/** Attempts wait 0.5, 1, 2 and 4 s; a job that failed five times stays in Bull's failed set. */
export const jobOptions = {
  attempts: 5,
  backoff: { type: 'exponential', delay: 500 },
  delay: 0,
  removeOnComplete: true,
} as const satisfies Bull.JobOptions;

/**
 * The queue of admitted purchases.
 * @param createClient a new connection that waits for Redis as long as it takes; the caller closes it.
 * @param lockMs a worker that is silent for so long loses its job to another.
 */
export function openPurchaseQueue(createClient: () => Redis, { lockMs }: { lockMs: number }): PurchaseQueue {
  return new Bull<PurchaseJob>('purchases', {
    // Bull's types know the ioredis it carries; it runs on a newer one as well.
    createClient: createClient as unknown as NonNullable<Bull.QueueOptions['createClient']>,
    settings: { lockDuration: lockMs, stalledInterval: lockMs, maxStalledCount: jobOptions.attempts },
  });
}

const purchase = z.strictObject({
  orderId: z.string().length(22),
  saleId: z.string().min(1),
  buyerId: z.string().min(1),
  quantity: z.int().min(1),
  idempotencyKey: z.string().min(1),
  createdAt: z.iso.datetime(),
}) satisfies z.ZodType<Purchase>;
const purchaseJob = z.strictObject({ purchases: z.array(purchase).min(1) });

/**
 * The purchases that a job carries.
 * @throws Error that says which field is not what a job must have. What stands in Redis could have been written by
 *   anything: a negative quantity that reached the guarded `$inc` would raise the stock.
 */
export function purchasesOf(job: { data: unknown }): Purchase[] {
  const parsed = purchaseJob.safeParse(job.data);
  if (parsed.success) return parsed.data.purchases;
  const [issue] = parsed.error.issues;
  throw new Error(`Not a purchase job: ${issue?.path.join('.')}: ${issue?.message}`);
}
