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
 * @returns the purchases of a request that cannot be settled although MongoDB is available; each of them has to be tried alone,
 *   because only one may be the cause.
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

/** For so long after one of its purchases could not be settled, a sale is settled apart from the others. */
const suspectMs = 60_000;

/**
 * Settles purchases, one transaction at a time, because concurrent transactions would only conflict on the stock of the
 * same sale. Requests that arrive meanwhile share the next transaction, which begins while the last one is announced.
 *
 * What cannot be settled together goes to a second group, where each request is settled alone. The sale of a purchase that cannot
 * be settled goes there directly for a while. The two groups take turns, so that the crowd of a sale that cannot be settled does not
 * keep the others waiting.
 */
export function openSettlement(options: SettlementOptions): Settle {
  const { maxPurchases, minIntervalMs, otherWriters } = options;
  /** When each sale of which a purchase could not be settled is no longer suspect. */
  const suspectUntil = new Map<string, number>();
  const isSuspect = ({ saleId }: Purchase) => (suspectUntil.get(saleId) ?? 0) > performance.now();
  function suspect(saleId: string): void {
    const now = performance.now();
    for (const [id, until] of suspectUntil) if (until <= now) suspectUntil.delete(id);
    suspectUntil.set(saleId, now + suspectMs);
  }
  const group = {
    sizeOf: ({ purchases }: SettleRequest) => purchases.length,
    maxBatch: maxPurchases,
    maxWaiting: Number.POSITIVE_INFINITY, // The number of jobs that the queue delivers at once bounds it.
    minIntervalMs,
    gapMs: otherWriters.gapMs,
  };
  const together = groupCommit<SettleRequest, SettledRequest | null>({
    ...group,
    send: (requests) =>
      settleAll(requests, options).catch((error) => {
        if (mayPass(error, options)) throw error;
        return requests.map(() => null);
      }),
  });
  const apart = groupCommit<SettleRequest, SettledRequest>({
    ...group,
    send: (requests) => settleApart(requests, { ...options, suspect }),
  });
  const settleOthers = async (request: SettleRequest) =>
    (await together.submit(request)) ?? (await apart.submit(request));

  return async ({ purchases, ...request }) => {
    // Asked once for each purchase, because a sale may cease to be suspect at any time.
    const suspects = new Set(purchases.filter(isSuspect));
    const others = purchases.filter((purchase) => !suspects.has(purchase));
    const parts: Promise<SettledRequest>[] = [];
    if (others.length > 0) parts.push(settleOthers({ purchases: others, ...request }));
    if (suspects.size > 0) parts.push(apart.submit({ purchases: [...suspects], ...request }));
    const settled = await Promise.all(parts);
    const fenced = settled.find((part) => part.fenced)?.fenced;
    if (fenced) throw fenced;
    await Promise.all(settled.map(({ announced }) => announced));
    return settled.flatMap(({ poison }) => poison);
  };
}

/** Whether the fault is none of the purchases'. */
const mayPass = (error: unknown, { stopping, isTransient }: SettlementOptions) =>
  stopping.aborted || isTransient(error);

async function settleAll(requests: SettleRequest[], options: SettlementOptions): Promise<SettledRequest[]> {
  void options.otherWriters.refresh();
  const announced = announce(await settleWhenPossible(requests, options), options);
  return requests.map(() => ({ poison: [], announced }));
}

interface ApartOptions extends SettlementOptions {
  /** Is called with the sale of each purchase that cannot be settled. */
  suspect: (saleId: string) => void;
}

/** Settles all requests in one transaction. When that fails, it settles each request alone. */
async function settleApart(requests: SettleRequest[], options: ApartOptions): Promise<SettledRequest[]> {
  try {
    return await settleAll(requests, options);
  } catch (error) {
    if (error instanceof Fenced) return await settleUnfenced(requests, error, options);
    if (mayPass(error, options)) throw error;
    const [only, ...others] = requests;
    if (only && others.length === 0) return [refused(only, error as Error, options)];
    const done: SettledRequest[] = [];
    for (const request of requests) done.push(...(await settleApart([request], options)));
    return done;
  }
}

/** Settles the requests of the shards that are still this worker's. */
async function settleUnfenced(
  requests: SettleRequest[],
  fenced: Fenced,
  options: ApartOptions,
): Promise<SettledRequest[]> {
  const isFenced = ({ fence }: SettleRequest) => fenced.shards.has(fence.shard);
  const others = requests.filter((request) => !isFenced(request));
  const done = others.length > 0 ? await settleApart(others, options) : [];
  return requests.map((request) =>
    isFenced(request)
      ? { poison: [], fenced, announced: Promise.resolve() }
      : (done.shift() as SettledRequest),
  );
}

/** Of several purchases it is not known yet which one is the cause. */
function refused({ purchases }: SettleRequest, error: Error, { suspect }: ApartOptions): SettledRequest {
  if (purchases.length === 1) for (const { saleId } of purchases) suspect(saleId);
  return { poison: purchases.map((raw) => ({ raw, error })), announced: Promise.resolve() };
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
