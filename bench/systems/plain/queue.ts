import Bull from 'bull';
import type { Purchase } from '../../../sale/contract.ts';

export type PlainQueue = Bull.Queue<Purchase>;

/** Opens a queue as Bull's documentation shows it. */
export function openPlainQueue(redisUrl: string): PlainQueue {
  return new Bull<Purchase>('plain-purchases', redisUrl, { defaultJobOptions: plainJobOptions });
}

/** As many attempts as Stampede's jobs have. Finished jobs are removed, which costs less. */
const plainJobOptions: Bull.JobOptions = {
  attempts: 5,
  backoff: { type: 'exponential', delay: 500 },
  removeOnComplete: true,
};

/** Adds one job for each purchase. Its id is the order id, so a resend while the job exists adds none. */
export async function enqueue(queue: PlainQueue, purchase: Purchase): Promise<void> {
  await queue.add(purchase, { jobId: purchase.orderId });
}

/** Adds many jobs with few commands. */
export async function enqueueAll(queue: PlainQueue, purchases: Purchase[]): Promise<void> {
  for (let start = 0; start < purchases.length; start += 1_000) {
    const some = purchases.slice(start, start + 1_000);
    await queue.addBulk(some.map((data) => ({ data, opts: { ...plainJobOptions, jobId: data.orderId } })));
  }
}

export async function countUnfinished(queue: PlainQueue): Promise<number> {
  const { waiting, active, delayed } = await queue.getJobCounts();
  return waiting + active + delayed;
}
