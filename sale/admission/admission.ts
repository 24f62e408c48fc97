import type { Redis } from 'ioredis';
import { LRUCache } from 'lru-cache';
import { redisClock } from '../../runtime/clock.ts';
import type { Config } from '../../runtime/config.ts';
import { failpoint } from '../../runtime/failpoints.ts';
import { type BatchTrip, groupCommit, Overloaded } from '../../runtime/group-commit.ts';
import { singleFlight } from '../../runtime/single-flight.ts';
import type { SaleRecord } from '../../store/collections.ts';
import { entryOf, isForEverybody, phasesIn } from '../access/access.ts';
import type { Door, Visitor } from '../access/door.ts';
import type { Purchase } from '../contract.ts';
import type { PurchaseQueue } from '../queue/queue.ts';
import { personOf } from '../settlement/decide.ts';
import { keysOf, type Shard } from '../shard.ts';
import { type Gate, jsonOf, readLua } from './gate.ts';

/** The result of an admission. Refusals are values; only a fault throws. */
export type Admission =
  | { outcome: 'admitted' }
  /** This purchase was admitted before with the same buyer, sale and Idempotency-Key. */
  | { outcome: 'known'; purchase: Purchase }
  | { outcome: 'sold_out'; left: number; itemId: string | null }
  | { outcome: 'not_open'; opensAt: Date }
  | { outcome: 'over_limit'; itemId: string | null }
  /**
   * `drawn`: the sale is a draw, in which nobody presses. `elsewhere`: its waiting room stands in front of another site.
   * `no_pass`: it has a waiting room, and the person no pass.
   */
  | { outcome: 'paused' | 'ended' | 'drawn' | 'elsewhere' | 'no_pass' | 'unknown_sale' }
  /** It opens for this buyer later; null: never, with what the buyer has shown. */
  | { outcome: 'not_admitted'; opensAt: Date | null; isCodeRefused: boolean }
  /** The code has let in as many orders as it may. */
  | { outcome: 'code_used' }
  /** The sale has no such item; null when the purchase names none although the sale has several. */
  | { outcome: 'unknown_item'; itemId: string | null }
  /** Too many accepted purchases wait to be settled. */
  | { outcome: 'busy' }
  /** Admitted, but the queue or the replicas did not confirm it. A retry of the same purchase is `known`. */
  | { outcome: 'unconfirmed' };

export interface AdmissionLimits {
  /** Purchases in one flush. */
  flushMaxPurchases: number;
  /** Purchases of one shard that may wait in this process for the next flush; one more is answered 503. */
  flushMaxWaiting: number;
  /** Purchases accepted and not yet settled, over all instances. */
  queueMaxPurchases: number;
  /** Seconds for which Redis stores a purchase. */
  memorySeconds: number;
  /**
   * How many replicas of Redis must have a purchase before it counts as admitted, and for how long that is waited for; without
   * it none.
   */
  replicas?: { count: number; waitMs: number };
}

/** The limits of a server. */
export function admissionLimitsOf(
  config: Pick<
    Config,
    'QUEUE_MAX_PURCHASES' | 'PURCHASE_MEMORY_SECONDS' | 'REDIS_WAIT_REPLICAS' | 'FLUSH_DEADLINE_MS'
  >,
): AdmissionLimits {
  return {
    flushMaxPurchases: 500,
    flushMaxWaiting: 20_000,
    queueMaxPurchases: config.QUEUE_MAX_PURCHASES,
    memorySeconds: config.PURCHASE_MEMORY_SECONDS,
    // Half of the time, so that the answer of Redis comes before the command's deadline.
    replicas: { count: config.REDIS_WAIT_REPLICAS, waitMs: config.FLUSH_DEADLINE_MS / 2 },
  };
}

/** What a press of Buy comes to; failed: Redis or MongoDB could not say. */
export type AdmissionResult = Admission['outcome'] | 'failed';

/**
 * @param requestId names the request in the log.
 * @param hasPass whether the person has a pass of the sale's waiting room.
 * @param shown what may let the buyer into a sale with phases.
 */
export type Admit = (
  purchase: Purchase,
  requestId?: string,
  hasPass?: boolean,
  shown?: Omit<Visitor, 'userId'>,
) => Promise<Admission>;

/** Hears what admission does, for metrics, counters, log and traces. It must not throw. */
export interface AdmissionObserver {
  flush(flush: BatchTrip<Purchase>): void;
  /** @param seconds from the press of Buy to its decision, which an answer that waits for the order comes long after. */
  admission(purchase: Purchase, result: AdmissionResult, seconds: number, requestId: string): void;
}

declare module 'ioredis' {
  interface RedisCommander {
    admit(...keysAndArguments: (string | number)[]): Promise<string[]>;
  }
}

/**
 * Admits purchases: those of one shard that arrive together are flushed together, in one round trip to Redis, and become one
 * job. The shards do not wait for each other.
 * @throws RabbitAway when the queue is on RabbitMQ and that is known to be unavailable: then nothing is admitted.
 * @param findSale reads from MongoDB a sale whose gate is missing; null when there is no such sale.
 * @param door says when a sale with phases opens for a buyer; without it only phases for everybody do.
 * @param requeueLost adds a new job for a known purchase that is neither queued nor settled.
 */
export function openAdmission({
  redis,
  gate,
  queue,
  findSale,
  door = forEverybody,
  requeueLost,
  limits,
  observer,
}: {
  redis: Redis;
  gate: Gate;
  queue: PurchaseQueue;
  findSale: (saleId: string) => Promise<SaleRecord | null>;
  door?: Pick<Door, 'admittanceOf'>;
  requeueLost: (purchase: Purchase) => Promise<unknown>;
  limits: AdmissionLimits;
  observer?: AdmissionObserver;
}): { admit: Admit; drained: () => Promise<void> } {
  const { keysIn, lua, afterwards } = queue.flush;
  redis.defineCommand('admit', { lua: lua + readLua('admit.lua') });

  /** The purchases that came with a valid pass. They are not marked themselves, because they become jobs as they are. */
  const passed = new WeakSet<Purchase>();
  /** When a sale with phases opens for the buyer of a purchase, as the script takes it. */
  const entries = new WeakMap<Purchase, string>();
  /** The phases of the sales that have any, so that their purchases are not sent twice. The script tells when they are others. */
  const phasesOf = new LRUCache<string, string>({ max: rememberedSales, ttl: phasesKnownMs });

  /** Whether enough replicas have all that this connection has written. It is sent right behind a flush. */
  async function isWithReplicas(): Promise<boolean> {
    const { count, waitMs } = limits.replicas ?? { count: 0, waitMs: 0 };
    return count === 0 || (await redis.wait(count, Math.floor(waitMs))) >= count;
  }

  /** The flushes of one shard. */
  const openFlush = (shard: Shard) =>
    groupCommit({
      async send(purchases: Purchase[]) {
        const startedAtMs = redisClock.now().getTime();
        afterwards?.requireReady();
        const { gates, purchases: stored, queued } = keysOf(shard);
        const keys = [queued, ...keysIn(shard)];
        if (redis.isCluster)
          for (const { saleId, orderId } of purchases) keys.push(gates + saleId, stored + orderId);
        const queueMax = limits.queueMaxPurchases - gate.countedElsewhere(shard);
        const fields = purchases.flatMap((purchase) => [
          purchase.orderId,
          purchase.saleId,
          personOf(purchase),
          purchase.quantity,
          JSON.stringify(purchase.lines ? withoutLines(purchase) : purchase),
          jsonOf(purchase.lines),
          passed.has(purchase) ? 1 : 0,
          entries.get(purchase) ?? '',
        ]);
        failpoint('flushing');
        const fixed = [gates, stored, limits.memorySeconds, queueMax];
        const [replies, isReplicated] = await Promise.all([
          redis.admit(keys.length, ...keys, ...fixed, ...fields),
          isWithReplicas(),
        ]);
        failpoint('flushed');
        // What a failover might lose is not confirmed; sent again it is known, and waits for the replicas once more.
        if (!isReplicated) return replies.map((reply) => (isAccepted(reply) ? 'unconfirmed' : reply));
        const isAdmitted = (reply: string | undefined) => reply?.startsWith('admitted') === true;
        const admitted = (afterwards ? purchases : []).flatMap((purchase, n) => {
          const reply = replies[n];
          if (!reply || !isAdmitted(reply)) return [];
          const plain = reply.includes('_plain') ? withoutLines(purchase) : purchase;
          return [reply.endsWith('_code') ? withCode(plain, entries.get(purchase)) : plain];
        });
        if (admitted.length === 0 || (await afterwards?.publish({ purchases: admitted }, startedAtMs)))
          return replies;
        return replies.map((reply) => (isAdmitted(reply) ? 'unconfirmed' : reply));
      },
      maxBatch: limits.flushMaxPurchases,
      maxWaiting: limits.flushMaxWaiting,
      ...(observer && { onBack: observer.flush }),
    });
  const flushes = new Map(gate.shards.map((shard) => [shard, openFlush(shard)]));
  const flush = (purchase: Purchase) => {
    const ofShard = flushes.get(gate.shardOf(purchase.saleId));
    return (ofShard as NonNullable<typeof ofShard>).submit(purchase);
  };

  /**
   * Builds a missing gate from MongoDB, for the first purchase of a sale or after Redis lost its data. Concurrent requests
   * share one read. @returns whether the sale exists.
   */
  const makeGate = singleFlight(async (saleId) => {
    const sale = await findSale(saleId);
    if (sale) await gate.sync(sale);
    return sale !== null;
  });

  /** Looks up when a sale with these phases opens for the buyer. @returns whether a code was shown that is not valid. */
  async function showAtDoor(
    purchase: Purchase,
    phases: string,
    shown: Omit<Visitor, 'userId'>,
  ): Promise<boolean> {
    const visitor = { ...shown, userId: purchase.buyerId };
    // Then nothing has to be looked up, and MongoDB may be away.
    const isOpen = isForEverybody(phasesIn(phases), redisClock.now().getTime() - clockErrorMs);
    const { opensMs, withCodeMs, code, isCodeRefused } = await (isOpen ? forEverybody : door).admittanceOf(
      purchase.saleId,
      phases,
      visitor,
    );
    const entry = {
      phases,
      ...(opensMs !== null && { opensMs }),
      ...(withCodeMs !== null && code && { withCodeMs, code: code.id, uses: code.uses }),
    };
    entries.set(purchase, JSON.stringify(entry));
    return isCodeRefused;
  }

  async function askGate(purchase: Purchase, shown: Omit<Visitor, 'userId'>): Promise<Admission> {
    const { saleId } = purchase;
    const known = phasesOf.get(saleId);
    let isCodeRefused = false;
    let fault: unknown;
    try {
      if (known !== undefined) isCodeRefused = await showAtDoor(purchase, known, shown);
    } catch (error) {
      // The gate may know the purchase, or have other phases by now, which need no look-up.
      fault = error;
    }
    let reply = await flush(purchase);
    // The gate may be lost again, or looked for under the key of the other version when the last process of that one stops. The
    // phases may be changed again.
    for (let tries = 0; reply === 'no_gate' || reply.startsWith(phased); tries++) {
      if (tries === maxTries)
        throw new Overloaded('the gate of the sale was lost or changed again and again');
      if (reply === 'no_gate') {
        if (!(await makeGate(saleId))) return { outcome: 'unknown_sale' };
      } else {
        const phases = reply.slice(phased.length);
        if (fault && phases === known) throw fault;
        phasesOf.set(saleId, phases);
        isCodeRefused = await showAtDoor(purchase, phases, shown);
      }
      reply = await flush(purchase);
    }
    if (reply.startsWith(unqueued)) {
      const known: Purchase = JSON.parse(reply.slice(unqueued.length));
      await requeueLost(known);
      return { outcome: 'known', purchase: known };
    }
    const admission = admissionOf(reply);
    return admission.outcome === 'not_admitted' ? { ...admission, isCodeRefused } : admission;
  }

  return {
    async admit(purchase, requestId = '', hasPass = false, shown = nothingShown) {
      if (hasPass) passed.add(purchase);
      const startedAt = performance.now();
      let result: AdmissionResult = 'failed';
      try {
        const admission = await askGate(purchase, shown);
        result = admission.outcome;
        return admission;
      } finally {
        const seconds = (performance.now() - startedAt) / 1_000;
        observer?.admission(purchase, result, seconds, requestId);
      }
    },
    async drained() {
      await Promise.all([...flushes.values()].map(({ drained }) => drained()));
    },
  };
}

const maxTries = 4;
/** Phases that were taken away again are forgotten after this time. */
const phasesKnownMs = 60_000;
/** How far this process may be ahead of Redis' clock: so long after its beginning a phase for everybody needs no look-up. */
const clockErrorMs = 1_000;
const rememberedSales = 10_000;
const nothingShown = { emailVerified: false };
const forEverybody: Pick<Door, 'admittanceOf'> = {
  async admittanceOf(_, phases) {
    const credentials = { isMember: false, code: null };
    return { ...entryOf(phasesIn(phases), credentials), ...credentials, isCodeRefused: false };
  },
};

const unqueued = 'unqueued:';
const phased = 'phased:';

const isAccepted = (reply: string) => /^(admitted|known|unqueued)/.test(reply);

const withoutLines = ({ lines: _, ...purchase }: Purchase): Purchase => purchase;

/** @param entry with the code, as the script took it. */
const withCode = (purchase: Purchase, entry = '{}'): Purchase => ({
  ...purchase,
  code: JSON.parse(entry).code,
});

/** Reads a reply of admit.lua. */
function admissionOf(reply: string): Admission {
  const colon = reply.indexOf(':');
  const outcome = colon === -1 ? reply : reply.slice(0, colon);
  const detail = reply.slice(colon + 1);
  switch (outcome) {
    case 'known':
      return { outcome, purchase: JSON.parse(detail) };
    case 'sold_out': {
      const [left, itemId = null] = detail.split(':');
      return { outcome, left: Number(left), itemId };
    }
    case 'over_limit':
    case 'unknown_item':
      return { outcome, itemId: colon === -1 ? null : detail };
    case 'admitted_plain':
    case 'admitted_code':
    case 'admitted_plain_code':
      return { outcome: 'admitted' };
    case 'not_admitted':
      return { outcome, opensAt: colon === -1 ? null : new Date(Number(detail)), isCodeRefused: false };
    case 'not_open':
      return { outcome, opensAt: new Date(Number(detail)) };
    case 'admitted':
    case 'paused':
    case 'ended':
    case 'drawn':
    case 'elsewhere':
    case 'no_pass':
    case 'code_used':
    case 'busy':
    case 'unconfirmed':
      return { outcome };
    default:
      throw new Error(`admit.lua answered ${outcome}`);
  }
}
