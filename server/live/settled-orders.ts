import { LRUCache } from 'lru-cache';
import { mongoClock } from '../../runtime/clock.ts';
import type { Config } from '../../runtime/config.ts';
import { withTimeout } from '../../runtime/with-timeout.ts';
import type { Gate } from '../../sale/admission/gate.ts';
import type { Order, Purchase } from '../../sale/contract.ts';
import type { Settled } from '../../sale/settlement/transaction.ts';
import type { HttpRequest } from '../http/pipeline.ts';

/** The result of a request that waited. */
interface WaitResult {
  /** Null while the order is not settled. */
  order: Order | null;
  headers: { 'Preference-Applied': string; Connection?: 'close' };
}

interface WaitOptions {
  /** Finds the order in MongoDB, because the message that it is settled can be lost. */
  find: () => Promise<Order | null>;
  /** Whether the order may have been settled before the request arrived. */
  mayBeSettled?: boolean;
}

export interface SettledOrders {
  /** Caches a purchase that this server accepted, or that has no order in MongoDB yet. */
  addQueued(purchase: Purchase): void;
  /** Caches settled orders, and answers the requests that wait for them. */
  addSettled(orders: Settled['orders']): void;
  /**
   * Finds a purchase that was queued within the last second, without MongoDB. The caller checks that it is the buyer's own.
   * @returns null when it is settled, or when only MongoDB knows whether it is.
   */
  findQueued(orderId: string): Promise<Purchase | null>;
  /**
   * Waits for an order, if the request has `Prefer: wait` (RFC 7240), until it is settled, the time is over, the client has
   * disconnected or this server stops.
   * @returns null when the request is to be answered without waiting.
   */
  waitFor(
    orderId: string,
    request: Pick<HttpRequest, 'header' | 'onClosed' | 'receivedAtMs'>,
    options: WaitOptions,
  ): Promise<WaitResult | null>;
}

/** The longest wait of a request, which is less than the read time-out of nginx. */
const waitMaxSeconds = 10;
/** The part of ANSWER_DEADLINE_MS that is reserved for the answer itself. */
const answerMs = 1_000;
/** Maximum number of waiting requests in one server, because each holds a connection. */
const waitingMax = 5_000;
/** Maximum number of entries in each cache, enough for several seconds of a rush. */
const rememberedMax = 20_000;
/** How long a purchase counts as queued after it was read as queued, because the message that it is settled can be lost. */
const trustedMs = 1_000;
/** Purchases older than this are read from MongoDB, because Redis may have missed that they are settled. */
const redisTrustedMs = 5_000;
/** When Redis takes longer than this, the order is read from MongoDB. */
const redisPatienceMs = 250;

/**
 * Caches recent orders, because workers announce every settled order to all servers, and holds the requests that wait for one.
 * @param stopping answers all waiting requests.
 * @param max maximum number of waiting requests.
 */
export function openSettledOrders({
  gate,
  ANSWER_DEADLINE_MS,
  stopping,
  max = waitingMax,
}: {
  gate: Pick<Gate, 'findPurchase'>;
  stopping: AbortSignal;
  max?: number;
} & Pick<Config, 'ANSWER_DEADLINE_MS'>): SettledOrders {
  const longestSeconds = Math.min(waitMaxSeconds, Math.floor((ANSWER_DEADLINE_MS - answerMs) / 1_000));
  const queued = new LRUCache<string, { purchase: Purchase; readMs: number }>({ max: rememberedMax });
  const settled = new LRUCache<string, { order: Order; receivedMs: number }>({ max: rememberedMax });
  const waiting = new Map<string, Set<(order: Order | null) => void>>();
  let waitingCount = 0;

  stopping.addEventListener('abort', () => {
    for (const orderId of waiting.keys()) release(orderId, null);
  });

  function release(orderId: string, order: Order | null): void {
    for (const answer of waiting.get(orderId) ?? []) answer(order);
  }

  function wait(
    orderId: string,
    ms: number,
    request: Pick<HttpRequest, 'onClosed'>,
  ): Promise<Order | 'gone' | null> {
    return new Promise((resolve) => {
      const answers = waiting.get(orderId) ?? new Set();
      waiting.set(orderId, answers);
      waitingCount += 1;
      const answer = (order: Order | 'gone' | null) => {
        if (!answers.delete(answer)) return;
        waitingCount -= 1;
        if (answers.size === 0) waiting.delete(orderId);
        clearTimeout(timer);
        resolve(order);
      };
      const timer = setTimeout(answer, ms, null);
      answers.add(answer);
      request.onClosed(() => answer('gone'));
    });
  }

  return {
    addQueued(purchase) {
      const { orderId } = purchase;
      // The message of the worker can overtake the reply to the flush.
      if (!settled.has(orderId)) queued.set(orderId, { purchase, readMs: performance.now() });
    },

    addSettled(orders) {
      const receivedMs = performance.now();
      for (const { order } of orders) {
        queued.delete(order.id);
        settled.set(order.id, { order, receivedMs });
        release(order.id, order);
      }
    },

    async findQueued(orderId) {
      if (settled.has(orderId)) return null;
      const known = queued.get(orderId);
      if (known && performance.now() - known.readMs < trustedMs) return known.purchase;
      if (known && isOld(known.purchase)) return null;
      const found = await withTimeout(gate.findPurchase(orderId), redisPatienceMs).catch(() => null);
      if (!found?.isQueued || settled.has(orderId)) return null;
      if (isOld(found.purchase)) return null;
      queued.set(orderId, { purchase: found.purchase, readMs: performance.now() });
      return found.purchase;
    },

    async waitFor(orderId, request, { find, mayBeSettled = false }) {
      const seconds = Math.min(preferredWaitOf(request.header('prefer')), longestSeconds);
      if (seconds < 1) return null;
      const headers = { 'Preference-Applied': `wait=${seconds}` };
      // An accepted purchase must not be answered with an error, so faults and delays of MongoDB count as not found.
      const findWithin = (ms: number) => withTimeout(find(), ms).catch(() => null);
      const found = mayBeSettled ? await findWithin(answerMs) : null;
      if (found) return { order: found, headers };
      const cached = settled.get(orderId);
      if (cached && cached.receivedMs >= request.receivedAtMs) return { order: cached.order, headers };
      if (stopping.aborted || waitingCount >= max) return null;
      const leftMs = request.receivedAtMs + ANSWER_DEADLINE_MS - answerMs - performance.now();
      const order = await wait(orderId, Math.max(0, Math.min(seconds * 1_000, leftMs)), request);
      if (order === 'gone') return { order: null, headers };
      // A connection that is kept alive would delay the stop of this server.
      const closing = stopping.aborted ? { Connection: 'close' as const } : {};
      return { order: order ?? (await findWithin(answerMs / 2)), headers: { ...headers, ...closing } };
    },
  };
}

const isOld = ({ createdAt }: Purchase) =>
  mongoClock.now().getTime() - Date.parse(createdAt) > redisTrustedMs;

/** @returns the seconds of the first `wait` in a Prefer header; 0 when there is none, or it is not a number. */
export function preferredWaitOf(header: string | undefined): number {
  for (const preference of header?.split(',') ?? []) {
    const [, seconds] = /^\s*wait\s*=\s*"?([^";\s]*)"?\s*(?:;|$)/i.exec(preference) ?? [];
    if (seconds !== undefined) return /^\d{1,9}$/.test(seconds) ? Number(seconds) : 0;
  }
  return 0;
}
