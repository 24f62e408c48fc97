import type Bull from 'bull';
import type { PurchaseJob } from '../../sale/contract.ts';
import type { PurchaseQueue } from '../../sale/queue/queue.ts';

/** Bull's queue of the first shard. */
export function bullOf({ bulls: [first] }: PurchaseQueue): Bull.Queue<PurchaseJob> {
  if (!first) throw new Error('Only with PURCHASE_QUEUE=bull');
  return first;
}

/** Keeps workers from taking jobs of any shard. */
export const pauseQueues = ({ bulls }: PurchaseQueue) => Promise.all(bulls.map((bull) => bull.pause()));
export const resumeQueues = ({ bulls }: PurchaseQueue) => Promise.all(bulls.map((bull) => bull.resume()));

/** The jobs of all shards. */
export async function jobsIn(
  { bulls }: PurchaseQueue,
  states: Bull.JobStatus[],
): Promise<Bull.Job<PurchaseJob>[]> {
  return (await Promise.all(bulls.map((bull) => bull.getJobs(states)))).flat().filter(Boolean);
}
