import { setTimeout as delay } from 'node:timers/promises';
import type { System } from '../../commands/system.ts';
import { withTimeout } from '../../runtime/with-timeout.ts';

/**
 * How long an accepted purchase may wait while some worker can settle it. At worst, one after the other: MongoDB is silent for 3 s,
 * another member is elected in 4 s, the shard is taken in 4 s, a transaction of the worker before holds the sale for 5 s, and a lost
 * job is replaced after 5 s. Two cores take longer.
 */
const longestWaitMs = 30_000;
const lookEveryMs = 250;
const readMs = 5_000;

/** What was seen while accepted purchases were watched. */
interface Watched {
  /** A line for each purchase that waited too long. */
  late: string[];
  longestMs: number;
}

/**
 * Watches from now on how long accepted purchases wait during a fault that leaves a worker which can settle them: how long Redis
 * has them queued and MongoDB has no order. What a failover of Redis lost is not seen here; pages send it again.
 */
export function watchWaits(
  { gate, collections }: Pick<System, 'gate' | 'collections'>,
  fault: string,
  boundMs = longestWaitMs,
): { end: () => Promise<Watched> } {
  const watched: Watched = { late: [], longestMs: 0 };
  const waitingSince = new Map<string, number>();
  const lateIds = new Set<string>();
  let readAt = performance.now();
  let isEnding = false;

  async function look(): Promise<void> {
    const queued = await gate.listQueued();
    const now = performance.now();
    for (const orderId of waitingSince.keys()) if (!queued.has(orderId)) waitingSince.delete(orderId);
    for (const orderId of isEnding ? [] : queued)
      if (!waitingSince.has(orderId) && !lateIds.has(orderId)) waitingSince.set(orderId, now);
    const waits = [...waitingSince].map(([orderId, since]) => ({ orderId, ms: now - since }));
    watched.longestMs = Math.max(watched.longestMs, ...waits.map(({ ms }) => ms));
    await blame(waits.filter(({ ms }) => ms > boundMs));
    readAt = now;
  }

  async function blame(overdue: { orderId: string; ms: number }[]): Promise<void> {
    if (overdue.length === 0) return;
    const ids = overdue.map(({ orderId }) => orderId);
    const orders = await collections.orders.find({ _id: { $in: ids } }).toArray();
    const settled = new Set(orders.map(({ _id }) => _id));
    for (const { orderId, ms } of overdue) {
      waitingSince.delete(orderId);
      if (settled.has(orderId)) continue;
      lateIds.add(orderId);
      watched.late.push(`${orderId} is queued after ${Math.round(ms / 1_000)} s: ${fault}`);
    }
  }

  async function watch(): Promise<void> {
    while (!isEnding || waitingSince.size > 0) {
      // A database that fails over does not answer for a while.
      await withTimeout(look(), readMs).catch(() => {});
      if (performance.now() - readAt > boundMs) {
        watched.late.push(`all that is queued, which could not be read any more: ${fault}`);
        return;
      }
      await delay(lookEveryMs);
    }
  }
  const watching = watch();

  return {
    /** Waits until all that was accepted before is settled or late. */
    async end() {
      isEnding = true;
      await watching;
      return watched;
    },
  };
}
