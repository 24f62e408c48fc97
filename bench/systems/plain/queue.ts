import Bull from 'bull';
import type { Purchase } from '../../../sale/contract.ts';

export type PlainQueue = Bull.Queue<Purchase>;

/** As Bull's own documentation opens one. */
export function openPlainQueue(redisUrl: string): PlainQueue {
  return new Bull<Purchase>('plain-purchases', redisUrl, { defaultJobOptions: plainJobOptions });
}

/** Attempts as Stampede's own jobs have them; finished jobs are not kept, which is the lighter way. */
const plainJobOptions: Bull.JobOptions = {
  attempts: 5,
  backoff: { type: 'exponential', delay: 500 },
  removeOnComplete: true,
};

/** One job for each purchase. The job's id is the order's, so a resend while the job is kept adds none. */
export async function enqueue(queue: PlainQueue, purchase: Purchase): Promise<void> {
  await queue.add(purchase, { jobId: purchase.orderId });
}

/** Many at once, which Bull sends in one go. */
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
