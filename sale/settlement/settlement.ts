import { failpoint } from '../../runtime/failpoints.ts';
import { groupCommit } from '../../runtime/group-commit.ts';
import type { Exclusive } from '../../runtime/mutex.ts';
import { retry } from '../../runtime/retry.ts';
import type { Collections } from '../../store/collections.ts';
import type { Purchase } from '../contract.ts';
import type { Poison } from '../queue/queue.ts';
import type { OtherWriters } from './other-writers.ts';
import { type Batch, settleBatch } from './transaction.ts';

/** Purchases to settle together. */
interface SettleRequest {
  purchases: Purchase[];
  /** Decide again on those of them that were given up. */
  again: boolean;
}

/**
 * Resolves when every one of these purchases has its order in MongoDB, but for those that it returns: MongoDB is there
 * and cannot settle them.
 * @throws when MongoDB stays away for longer than the settlement's patience. Settling again is always safe.
 */
export type Settle = (request: SettleRequest) => Promise<Poison[]>;

/** Purchases that a worker settles in one transaction. */
export const settleMaxPurchases = 2_000;

export interface SettlementOptions {
  collections: Collections;
  /** In one transaction. */
  maxPurchases: number;
  /** From the start of one transaction to the start of the next, unless that is full. */
  minIntervalMs: number;
  /** How long purchases wait here for a MongoDB that is away. */
  patienceMs: number;
  /** Whether a fault will pass by itself. */
  isTransient: (error: unknown) => boolean;
  /** Gives up waiting: this process stops. */
  stopping: AbortSignal;
  /** Runs each transaction, so that others can have a moment without one. */
  exclusive: Exclusive;
  /** Who also writes sales, and needs a gap between two transactions. */
  otherWriters: Pick<OtherWriters, 'refresh' | 'gapMs'>;
  /** Told of every commit. What it does is a courtesy: nothing depends on it, so it must not throw. */
  afterCommit: (batch: Batch) => Promise<void>;
}

/** A request whose transactions are over. */
interface SettledRequest {
  poison: Poison[];
  /** Resolves when `afterCommit` is through with what was settled. */
  announced: Promise<unknown>;
}

/**
 * Settles purchases, one transaction at a time: two at once would only run into each other's writes of the same
 * hot product. What arrives meanwhile is settled together in the next one, which begins while the last one is announced.
 */
export function openSettlement(options: SettlementOptions): Settle {
  const { maxPurchases, minIntervalMs, otherWriters } = options;
  const commit = groupCommit<SettleRequest, SettledRequest>({
    send(requests) {
      void otherWriters.refresh();
      return settleOrSplit(requests, options);
    },
    sizeOf: ({ purchases }) => purchases.length,
    maxBatch: maxPurchases,
    maxWaiting: Number.POSITIVE_INFINITY, // Bounded by the jobs that the queue hands out at once.
    minIntervalMs,
    gapMs: otherWriters.gapMs,
  });
  return async (request) => {
    const { poison, announced } = await commit.submit(request);
    await announced;
    return poison;
  };
}

/**
 * One transaction for all; when that cannot be, one for each request, and then for each half of one, down to the
 * purchase that is the trouble.
 */
async function settleOrSplit(
  requests: SettleRequest[],
  options: SettlementOptions,
): Promise<SettledRequest[]> {
  try {
    const announced = announce(await settleWhenPossible(requests, options), options);
    return requests.map(() => ({ poison: [], announced }));
  } catch (error) {
    if (options.stopping.aborted || options.isTransient(error)) throw error;
    const [only, ...others] = requests;
    if (only && others.length === 0) return [await splitRequest(only, error as Error, options)];
    const done: SettledRequest[] = [];
    for (const request of requests) done.push(...(await settleOrSplit([request], options)));
    return done;
  }
}

async function splitRequest(
  { purchases, again }: SettleRequest,
  error: Error,
  options: SettlementOptions,
): Promise<SettledRequest> {
  if (purchases.length === 1) return { poison: [{ raw: purchases[0], error }], announced: Promise.resolve() };
  const middle = Math.ceil(purchases.length / 2);
  const halves = [purchases.slice(0, middle), purchases.slice(middle)];
  const done = await settleOrSplit(
    halves.map((half) => ({ purchases: half, again })),
    options,
  );
  return {
    poison: done.flatMap(({ poison }) => poison),
    announced: Promise.all(done.map(({ announced }) => announced)),
  };
}

async function announce(batch: Batch, { afterCommit }: SettlementOptions): Promise<void> {
  await afterCommit(batch);
  failpoint('announced');
}

/** Waits out a MongoDB that is away: its absence says nothing about the purchases. */
const settleWhenPossible = (requests: SettleRequest[], options: SettlementOptions): Promise<Batch> =>
  retry(
    async () => {
      failpoint('settling');
      const batch = await settleTogether(requests, options);
      failpoint('committed');
      return batch;
    },
    {
      firstMs: 100,
      longestMs: 2_000,
      patienceMs: options.patienceMs,
      signal: options.stopping,
      shouldRetry: options.isTransient,
    },
  );

function settleTogether(
  requests: SettleRequest[],
  { collections, exclusive }: SettlementOptions,
): Promise<Batch> {
  const purchases = requests.flatMap((request) => request.purchases);
  const again = requests.flatMap((request) => (request.again ? request.purchases : []));
  return exclusive(() => settleBatch(collections, purchases, again));
}
