import { failpoint } from '../../runtime/failpoints.ts';
import { groupCommit } from '../../runtime/group-commit.ts';
import type { Exclusive } from '../../runtime/mutex.ts';
import { retry } from '../../runtime/retry.ts';
import type { Collections } from '../../store/collections.ts';
import { type Fence, Fenced } from '../../store/shards.ts';
import type { Purchase } from '../contract.ts';
import type { Poison } from '../queue/queue.ts';
import type { OtherWriters } from './other-writers.ts';
import { type Batch, settleBatch } from './transaction.ts';

/** Purchases to settle together. */
interface SettleRequest {
  purchases: Purchase[];
  /** Whether those whose order was rejected as `failed` are decided again. */
  again: boolean;
  /** The right to settle them. */
  fence: Fence;
  /** Aborts when another worker has taken their shard, so that they are left to it while MongoDB is away from this one. */
  taken: AbortSignal;
}

/**
 * Resolves when every purchase has its order in MongoDB. Settling again is always safe.
 * @returns the purchases that cannot be settled although MongoDB is available.
 * @throws Fenced when another worker settles their shard; MongoDB's error when it is unavailable for longer than the settlement's
 *   `patienceMs`.
 */
export type Settle = (request: SettleRequest) => Promise<Poison[]>;

/** Maximum number of purchases that a worker settles in one transaction. */
export const settleMaxPurchases = 2_000;

export interface SettlementOptions {
  collections: Collections;
  /** Maximum number of purchases in one transaction. */
  maxPurchases: number;
  /** Minimum time from the start of one transaction to the start of the next; a full transaction starts sooner. */
  minIntervalMs: number;
  /** How long a settlement is retried while MongoDB is unavailable. */
  patienceMs: number;
  /** Whether a fault is transient, so that the transaction is retried. */
  isTransient: (error: unknown) => boolean;
  /** Aborts the retries when this process stops. */
  stopping: AbortSignal;
  /** Runs each transaction, so that the comparison of gates can exclude transactions for a moment. */
  exclusive: Exclusive;
  /** Other processes that write sales, for which a gap is left between two transactions. */
  otherWriters: Pick<OtherWriters, 'refresh' | 'gapMs'>;
  /** Called after every commit to announce it. Nothing depends on its success, so it must not throw. */
  afterCommit: (batch: Batch) => Promise<void>;
}

/** A request whose transactions have ended. */
interface SettledRequest {
  poison: Poison[];
  /** Set when another worker settles its shard, and nothing was written. */
  fenced?: Fenced;
  /** Resolves when `afterCommit` has finished for all of the request's transactions. */
  announced: Promise<unknown>;
}

/**
 * Settles purchases, one transaction at a time, because concurrent transactions would only conflict on the stock of the
 * same sale. Requests that arrive meanwhile share the next transaction, which begins while the last one is announced.
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
    maxWaiting: Number.POSITIVE_INFINITY, // The number of jobs that the queue delivers at once bounds it.
    minIntervalMs,
    gapMs: otherWriters.gapMs,
  });
  return async (request) => {
    const { poison, fenced, announced } = await commit.submit(request);
    if (fenced) throw fenced;
    await announced;
    return poison;
  };
}

/**
 * Settles all requests in one transaction. When that fails, it settles each request alone, and then each half of a
 * request, until the purchase that cannot be settled is isolated.
 */
async function settleOrSplit(
  requests: SettleRequest[],
  options: SettlementOptions,
): Promise<SettledRequest[]> {
  try {
    const announced = announce(await settleWhenPossible(requests, options), options);
    return requests.map(() => ({ poison: [], announced }));
  } catch (error) {
    if (error instanceof Fenced) return await settleUnfenced(requests, error, options);
    if (options.stopping.aborted || options.isTransient(error)) throw error;
    const [only, ...others] = requests;
    if (only && others.length === 0) return [await splitRequest(only, error as Error, options)];
    const done: SettledRequest[] = [];
    for (const request of requests) done.push(...(await settleOrSplit([request], options)));
    return done;
  }
}

/** Settles the requests of the shards that are still this worker's. */
async function settleUnfenced(
  requests: SettleRequest[],
  fenced: Fenced,
  options: SettlementOptions,
): Promise<SettledRequest[]> {
  const isFenced = ({ fence }: SettleRequest) => fenced.shards.has(fence.shard);
  const others = requests.filter((request) => !isFenced(request));
  const done = others.length > 0 ? await settleOrSplit(others, options) : [];
  return requests.map((request) =>
    isFenced(request)
      ? { poison: [], fenced, announced: Promise.resolve() }
      : (done.shift() as SettledRequest),
  );
}

async function splitRequest(
  { purchases, ...request }: SettleRequest,
  error: Error,
  options: SettlementOptions,
): Promise<SettledRequest> {
  if (purchases.length === 1) return { poison: [{ raw: purchases[0], error }], announced: Promise.resolve() };
  const middle = Math.ceil(purchases.length / 2);
  const halves = [purchases.slice(0, middle), purchases.slice(middle)];
  const done = await settleOrSplit(
    halves.map((half) => ({ purchases: half, ...request })),
    options,
  );
  const fenced = done.find((half) => half.fenced)?.fenced;
  return {
    poison: done.flatMap(({ poison }) => poison),
    ...(fenced && { fenced }),
    announced: Promise.all(done.map(({ announced }) => announced)),
  };
}

async function announce(batch: Batch, { afterCommit }: SettlementOptions): Promise<void> {
  await afterCommit(batch);
  failpoint('announced');
}

/**
 * Retries while MongoDB is unavailable, because that is no fault of the purchases.
 * @throws Fenced when another worker has taken a shard meanwhile.
 */
async function settleWhenPossible(requests: SettleRequest[], options: SettlementOptions): Promise<Batch> {
  const takenShards = () => requests.filter(({ taken }) => taken.aborted).map(({ fence }) => fence.shard);
  const settleOnce = async () => {
    failpoint('settling');
    const batch = await settleTogether(requests, options);
    failpoint('committed');
    return batch;
  };
  return await retry(settleOnce, {
    firstMs: 100,
    longestMs: 2_000,
    patienceMs: options.patienceMs,
    signal: options.stopping,
    shouldRetry: (error) => options.isTransient(error) && takenShards().length === 0,
  }).catch((error) => {
    const shards = takenShards();
    throw shards.length > 0 && options.isTransient(error) ? new Fenced(shards) : error;
  });
}

function settleTogether(
  requests: SettleRequest[],
  { collections, exclusive }: SettlementOptions,
): Promise<Batch> {
  const purchases = requests.flatMap((request) => request.purchases);
  const again = requests.flatMap((request) => (request.again ? request.purchases : []));
  const fences = new Map(requests.map(({ fence }) => [`${fence.shard} ${fence.token}`, fence]));
  return exclusive(() => settleBatch(collections, purchases, again, [...fences.values()]));
}
