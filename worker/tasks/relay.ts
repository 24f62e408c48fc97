import { findUnrelayed, openRelay, watchLog } from '../../log/relay.ts';
import type { BusEvent, EventBus } from '../../messages/bus.ts';
import type { Config } from '../../runtime/config.ts';
import type { LeaderTask } from '../../runtime/leader/leader.ts';
import type { Log } from '../../runtime/observe/log.ts';
import { pause } from '../../runtime/pause.ts';
import type { Collections } from '../../store/collections.ts';

/** How often all sales are scanned for unpublished events, in case the change stream missed one. */
const scanIntervalMs = 30_000;

/** How often the subscriptions' queues are inspected: whether one was lost, was emptied, or has room again. */
const inspectIntervalMs = 1_000;

/** Sales relayed between two checks of the stop signal. */
const salesAtOnce = 200;

/** Relaying takes at most this share of the time; events that accumulate meanwhile are published together. */
const maxRelayShare = 0.05;

/**
 * Publishes the event log to the bus. A fault of MongoDB, the bus or the change stream ends the task; when it is started
 * again, it begins with every sale's stored position. Purchases are not affected.
 * @param after the relay starts when this has resolved.
 * @param listIdle the subscriptions that need no events at present.
 * @param published is called with the events that a subscription was sent.
 */
export function relay(
  {
    collections,
    bus,
    after,
    listIdle,
    published,
  }: {
    collections: Collections;
    bus: EventBus;
    after: Promise<void>;
    listIdle: () => Promise<string[]>;
    published: (subscription: string, events: BusEvent[], startedAtMs: number) => void;
  },
  { RELAY_INTERVAL_MS }: Pick<Config, 'RELAY_INTERVAL_MS'>,
  log: Log,
): LeaderTask {
  return async (stopping) => {
    await after;
    const { relay: relaySales, inspectQueues } = openRelay({ collections, bus, log, listIdle, published });
    /** Sales with unpublished events. */
    const pending = new Set<string>();
    let broken: Error | undefined;
    let waiting = new AbortController();
    const wake = () => waiting.abort();
    const stream = await watchLog(
      collections,
      (saleId) => {
        pending.add(saleId);
        wake();
      },
      (error) => {
        broken = error;
        wake();
      },
    );
    try {
      for (let [scanAtMs, inspectAtMs] = [0, 0]; !stopping.aborted; ) {
        if (broken) throw broken;
        if (performance.now() >= scanAtMs) {
          for (const saleId of await findUnrelayed(collections)) pending.add(saleId);
          scanAtMs = performance.now() + scanIntervalMs;
        }
        if (performance.now() >= inspectAtMs) {
          for (const saleId of await inspectQueues()) pending.add(saleId);
          inspectAtMs = performance.now() + inspectIntervalMs;
        }
        waiting = new AbortController();
        const due = [...pending];
        pending.clear();
        const startedAt = performance.now();
        for (let first = 0; first < due.length; first += salesAtOnce) {
          if (stopping.aborted) return;
          const some = due.slice(first, first + salesAtOnce);
          for (const saleId of await relaySales(some)) pending.add(saleId);
        }
        const tookMs = performance.now() - startedAt;
        await pause(Math.min(tookMs / maxRelayShare, RELAY_INTERVAL_MS), stopping);
        if (pending.size === 0)
          await pause(inspectAtMs - performance.now(), AbortSignal.any([stopping, waiting.signal]));
      }
    } finally {
      await stream.close();
    }
  };
}
