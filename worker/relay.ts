import { findBehind, openRelay, watchLog } from '../log/relay.ts';
import type { EventBus } from '../messages/bus.ts';
import type { Config } from '../runtime/config.ts';
import type { Task } from '../runtime/leader/leader.ts';
import type { Log } from '../runtime/observe/log.ts';
import { pause } from '../runtime/pause.ts';
import type { Collections } from '../store/collections.ts';

/** How often it looks for itself, should it have missed a hint. */
const scanIntervalMs = 30_000;

/** How often it looks at the queues: whether one was lost, was emptied, or has room again. */
const lookIntervalMs = 1_000;

/** It can stop after as many. */
const salesAtOnce = 200;

/** Relaying takes at most this share of the time; what gathers meanwhile travels together. */
const mostRelaying = 0.05;

/**
 * Brings the event log to the bus. A fault of MongoDB, the bus or the change stream ends it; begun again, it looks at
 * every sale's position. Purchases do not notice.
 * @param after it begins when this has resolved.
 * @param listIdle the subscriptions that need not be told just now.
 */
export function relay(
  {
    collections,
    bus,
    after,
    listIdle,
  }: {
    collections: Collections;
    bus: EventBus;
    after: Promise<void>;
    listIdle: () => Promise<string[]>;
  },
  { RELAY_INTERVAL_MS }: Pick<Config, 'RELAY_INTERVAL_MS'>,
  log: Log,
): Task {
  return async (stopping) => {
    await after;
    const { relay: relaySales, look } = openRelay({ collections, bus, log, listIdle });
    const news = new Set<string>();
    let broken: Error | undefined;
    let waiting = new AbortController();
    const wake = () => waiting.abort();
    const stream = await watchLog(
      collections,
      (saleId) => {
        news.add(saleId);
        wake();
      },
      (error) => {
        broken = error;
        wake();
      },
    );
    try {
      for (let [scanAtMs, lookAtMs] = [0, 0]; !stopping.aborted; ) {
        if (broken) throw broken;
        if (performance.now() >= scanAtMs) {
          for (const saleId of await findBehind(collections)) news.add(saleId);
          scanAtMs = performance.now() + scanIntervalMs;
        }
        if (performance.now() >= lookAtMs) {
          for (const saleId of await look()) news.add(saleId);
          lookAtMs = performance.now() + lookIntervalMs;
        }
        waiting = new AbortController();
        const due = [...news];
        news.clear();
        const startedAt = performance.now();
        for (let first = 0; first < due.length; first += salesAtOnce) {
          if (stopping.aborted) return;
          const some = due.slice(first, first + salesAtOnce);
          for (const saleId of await relaySales(some)) news.add(saleId);
        }
        const tookMs = performance.now() - startedAt;
        await pause(Math.min(tookMs / mostRelaying, RELAY_INTERVAL_MS), stopping);
        if (news.size === 0)
          await pause(lookAtMs - performance.now(), AbortSignal.any([stopping, waiting.signal]));
      }
    } finally {
      await stream.close();
    }
  };
}
