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

/** A job that no worker holds, as when Redis went away in the middle of handing it out, runs after two such checks. */
const stalledCheckMs = 5_000;

/**
 * The queue of admitted purchases.
 * @param createClient a new connection that waits for Redis as long as it takes; the caller closes it.
 * @param lockMs a worker that is silent for so long loses its job to another.
 */
export function openPurchaseQueue(createClient: () => Redis, { lockMs }: { lockMs: number }): PurchaseQueue {
  return new Bull<PurchaseJob>('purchases', {
    // Bull's types know the ioredis it carries; it runs on a newer one as well.
    createClient: createClient as unknown as NonNullable<Bull.QueueOptions['createClient']>,
    settings: {
      lockDuration: lockMs,
      stalledInterval: Math.min(lockMs, stalledCheckMs),
      maxStalledCount: jobOptions.attempts,
    },
  });
}

const purchase = z.strictObject({
  orderId: z.string().length(22),
  saleId: z.string().min(1),
  buyerId: z.string().min(1),
  quantity: z.int().min(1),
  idempotencyKey: z.string().min(1),
  createdAt: z.iso.datetime(),
  traceparent: z.string().max(55).exactOptional(),
}) satisfies z.ZodType<Purchase>;

/** What a job carries, read with suspicion: what stands in Redis could have been written by anything. */
export interface JobContent {
  purchases: Purchase[];
  /** What is not a purchase. A negative quantity that reached the guarded `$inc` would raise the stock. */
  malformed: Poison[];
  /** Whether an operator asks for purchases that were given up to be settled after all. */
  again: boolean;
}

/** Something in a job that cannot be settled, as it stood there, and why. */
export interface Poison {
  raw: unknown;
  error: Error;
}

/** More jobs than this in one state are looked at in part. */
const jobsAtOnce = 1_000;

const envelope = z.strictObject({
  purchases: z.array(z.unknown()).min(1),
  again: z.literal(true).optional(),
});

/** @throws Error when there is not even a list of purchases in it. */
export function readJob(data: unknown): JobContent {
  const job = envelope.safeParse(data);
  if (!job.success) throw malformedError(job.error);
  const content: JobContent = { purchases: [], malformed: [], again: job.data.again === true };
  for (const raw of job.data.purchases) {
    const parsed = purchase.safeParse(raw);
    if (parsed.success) content.purchases.push(parsed.data);
    else content.malformed.push({ raw, error: malformedError(parsed.error) });
  }
  return content;
}

function malformedError({ issues: [issue] }: z.ZodError): Error {
  return new Error(`Not a purchase: ${issue?.path.join('.') || 'the job'}: ${issue?.message}`);
}

/**
 * When the oldest job that is waited for came, in ms; infinite when there is none. The purchases of a job that Bull
 * has lost are older than that.
 */
export async function oldestJobMs(queue: PurchaseQueue): Promise<number> {
  const [waiting, others] = await Promise.all([
    queue.getJobs(['waiting', 'paused'], 0, 0, true),
    queue.getJobs(['active', 'delayed', 'failed'], 0, jobsAtOnce - 1, true),
  ]);
  return Math.min(...[...waiting, ...others].map((job) => job?.timestamp ?? 0));
}
