import { mongoClock } from '../../runtime/clock.ts';
import type { Config } from '../../runtime/config.ts';
import { within } from '../../runtime/within.ts';
import type { Gate } from '../../sale/admission/gate.ts';
import type { Order, Purchase } from '../../sale/contract.ts';
import type { Settled } from '../../sale/settlement/transaction.ts';
import type { Call } from '../http/route.ts';

/** What came of a request that waited. */
interface Held {
  /** Null when there is none to be seen yet. */
  order: Order | null;
  headers: { 'Preference-Applied': string; Connection?: 'close' };
}

interface Waiting {
  /** When the request came, by `performance.now()`: what was settled since then is told at once. */
  cameMs: number;
  /** Looks for the order in MongoDB, should the message that it is settled have been lost. */
  look: () => Promise<Order | null>;
  /** Whether it may have been settled before the request came. */
  looksFirst?: boolean;
}

export interface SettledOrders {
  /** Notes a purchase that this server accepted, or that MongoDB has no order of yet. */
  noteQueued(purchase: Purchase): void;
  /** Notes orders that are settled, and lets go of the requests that wait for them. */
  noteSettled(orders: Settled['orders']): void;
  /**
   * A purchase that was queued within the last second, without asking MongoDB; null when it is settled or has to be
   * looked for there. Its buyer is for the caller to compare.
   */
  findQueued(orderId: string): Promise<Purchase | null>;
  /**
   * Holds the answer of a request that prefers to wait (RFC 7240) until its order is settled, its time is over, its
   * client is gone or this server stops.
   * @returns null when the request is to be answered without waiting.
   * @throws what `look` throws.
   */
  hold(orderId: string, call: Pick<Call, 'header' | 'onClosed'>, waiting: Waiting): Promise<Held | null>;
}

/** The longest wait, which is less than a proxy's patience. */
const waitMaxSeconds = 10;
/** Of ANSWER_DEADLINE_MS, for the answer itself. */
const answerMs = 1_000;
/** Requests that wait at once in one server; each holds a connection. */
const waitingMax = 5_000;
/** Orders of each kind that are remembered: several seconds of a rush. */
const rememberedMax = 20_000;
/** A purchase that was seen queued is taken for queued for so long: the message that it is settled may be lost. */
const believedMs = 1_000;
/** A purchase that is queued for longer is looked for in MongoDB: Redis may not have been told that it is settled. */
const redisBelievedMs = 5_000;
/** Redis answers within so long, or MongoDB is asked. */
const redisPatienceMs = 250;

/**
 * What a server knows of recent orders without asking MongoDB, because workers tell every server what they settled, and
 * the requests that wait for such news.
 * @param stopping lets go of all who wait.
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
  const queued = new Map<string, { purchase: Purchase; seenMs: number }>();
  const settled = new Map<string, { order: Order; heardMs: number }>();
  const waiting = new Map<string, Set<(order: Order | null) => void>>();
  let waitingCount = 0;

  stopping.addEventListener('abort', () => {
    for (const orderId of waiting.keys()) letGo(orderId, null);
  });

  function letGo(orderId: string, order: Order | null): void {
    for (const answer of waiting.get(orderId) ?? []) answer(order);
  }

  function wait(orderId: string, seconds: number, onGone: Call['onClosed']): Promise<Order | 'gone' | null> {
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
      const timer = setTimeout(answer, seconds * 1_000, null);
      answers.add(answer);
      onGone(() => answer('gone'));
    });
  }

  return {
    noteQueued(purchase) {
      const { orderId } = purchase;
      // The worker can be quicker than the answer to the flush.
      if (!settled.has(orderId)) remember(queued, orderId, { purchase, seenMs: performance.now() });
    },

    noteSettled(orders) {
      const heardMs = performance.now();
      for (const { order } of orders) {
        queued.delete(order.id);
        remember(settled, order.id, { order, heardMs });
        letGo(order.id, order);
      }
    },

    async findQueued(orderId) {
      if (settled.has(orderId)) return null;
      const known = queued.get(orderId);
      if (known && performance.now() - known.seenMs < believedMs) return known.purchase;
      if (known && isOld(known.purchase)) return null;
      const found = await within(redisPatienceMs, gate.findPurchase(orderId)).catch(() => null);
      if (!found?.isQueued || settled.has(orderId)) return null;
      if (isOld(found.purchase)) return null;
      remember(queued, orderId, { purchase: found.purchase, seenMs: performance.now() });
      return found.purchase;
    },

    async hold(orderId, { header, onClosed }, { cameMs, look, looksFirst = false }) {
      const seconds = Math.min(preferredWaitOf(header('prefer')), longestSeconds);
      if (seconds < 1) return null;
      const headers = { 'Preference-Applied': `wait=${seconds}` };
      const seen = looksFirst ? await look() : null;
      if (seen) return { order: seen, headers };
      const heard = settled.get(orderId);
      if (heard && heard.heardMs >= cameMs) return { order: heard.order, headers };
      if (stopping.aborted || waitingCount >= max) return null;
      const order = await wait(orderId, seconds, onClosed);
      if (order === 'gone') return { order: null, headers };
      // A stopping server waits for its connections to end.
      const closing = stopping.aborted ? { Connection: 'close' as const } : {};
      return { order: order ?? (await look()), headers: { ...headers, ...closing } };
    },
  };
}

const isOld = ({ createdAt }: Purchase) =>
  mongoClock.now().getTime() - Date.parse(createdAt) > redisBelievedMs;

/** Forgets the oldest when there are too many. */
function remember<Value>(map: Map<string, Value>, id: string, value: Value): void {
  map.delete(id);
  map.set(id, value);
  if (map.size <= rememberedMax) return;
  for (const oldest of map.keys()) {
    map.delete(oldest);
    return;
  }
}

/** @returns the seconds of the first `wait` in a Prefer header; 0 when there is none, or it is not a number. */
export function preferredWaitOf(header: string | undefined): number {
  for (const preference of header?.split(',') ?? []) {
    const [, seconds] = /^\s*wait\s*=\s*"?([^";\s]*)"?\s*(?:;|$)/i.exec(preference) ?? [];
    if (seconds !== undefined) return /^\d{1,9}$/.test(seconds) ? Number(seconds) : 0;
  }
  return 0;
}
