import { isMongoAway } from '../runtime/databases/connections.ts';
import { retry } from '../runtime/retry.ts';
import type { Purchase } from '../sale/contract.ts';
import { type PurchaseQueue, readJob } from '../sale/queue/queue.ts';
import type { Settle } from '../sale/settlement/settlement.ts';
import type { Shard } from '../sale/shard.ts';
import type { Collections } from '../store/collections.ts';
import { type Fence, Fenced, takeFence } from '../store/shards.ts';

interface Dependencies {
  collections: Collections;
  queue: PurchaseQueue;
  settle: Settle;
}

/**
 * Settles one job. A purchase that cannot be settled gets a job of its own, which is retried and then becomes a dead letter,
 * so that it does not block the others.
 */
async function settleJob(
  data: unknown,
  { queue, settle }: Dependencies,
  fence: Fence,
  taken: AbortSignal,
): Promise<void> {
  const { purchases, malformed, again } = readJob(data);
  const refused = purchases.length > 0 ? await settle({ purchases, again, fence, taken }) : [];
  const poison = [...malformed, ...refused];
  const [first] = poison;
  if (!first) return;
  if (purchases.length + malformed.length === 1) throw first.error;
  await queue.add(poison.map(({ raw }) => ({ purchases: [raw as Purchase], ...(again && { again }) })));
}

/**
 * Settles the jobs of a shard until the signal aborts, or another worker settles it.
 * @param maxJobs how many at once.
 * @param taken aborts when another worker has the shard's lease, and gets the jobs in hand that wait for MongoDB.
 */
export async function settleShard(
  dependencies: Dependencies,
  shard: Shard,
  maxJobs: number,
  { signal, taken }: { signal: AbortSignal; taken: AbortSignal },
): Promise<void> {
  const { collections, queue } = dependencies;
  const fenced = new AbortController();
  const ending = AbortSignal.any([signal, fenced.signal]);
  let fault: unknown;
  // Jobs are taken meanwhile, because a transaction of a frozen worker can hold the document for seconds. They stay in hand while
  // MongoDB is away, since giving them back costs each of them an attempt.
  const begun = retry(() => takeFence(collections, shard), {
    firstMs: 100,
    longestMs: 2_000,
    signal: ending,
    shouldRetry: isMongoAway,
  }).catch((error) => {
    fault = error;
    throw new Fenced([shard]);
  });
  begun.catch(() => fenced.abort());
  async function settleOne(data: unknown): Promise<void> {
    try {
      await settleJob(data, dependencies, await begun, taken);
    } catch (error) {
      if (error instanceof Fenced) fenced.abort();
      throw error;
    }
  }
  await queue.process(shard, maxJobs, settleOne, ending);
  if (fault && !signal.aborted) throw fault;
}
