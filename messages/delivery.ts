import { failpoint } from '../runtime/failpoints.ts';
import { pause } from '../runtime/pause.ts';
import { retry } from '../runtime/retry.ts';
import type { BusEvent, DeadLetterEvent, Subscription } from './bus.ts';

/** How an engine delivers a subscription's events. */
export interface DeliveryRules {
  /** Delays before the second and further attempts at an event; with four delays there are 5 attempts. */
  retryWaitsMs: readonly number[];
  /** Whether a fault is transient, like an unavailable MongoDB: it is retried and does not count as an attempt. */
  isTransient: (error: unknown) => boolean;
  /** Stores a dead letter; resolves when it is durable. It may be called twice for one event. */
  storeDeadLetter: (letter: DeadLetterEvent) => Promise<void>;
  /** Ends the delays between attempts; a running handler is not interrupted. */
  stopping: AbortSignal;
}

/** Delays between retries while a fault is transient. */
const transientBackoff = { firstMs: 200, longestMs: 5_000 };

/**
 * Delivers events to a subscription in order: in batches, one at a time after a fault, and an event that fails in every
 * attempt becomes a dead letter. Later events wait meanwhile. It is the same for all engines.
 * @returns the number of events, from the first on, that are handled or dead letters; fewer than all only when stopped.
 * @throws the error of `storeDeadLetter`; then none of the events counts as done.
 */
export async function deliver(
  subscription: Subscription,
  events: BusEvent[],
  rules: DeliveryRules,
): Promise<number> {
  let done = 0;
  while (done < events.length) {
    const batch = events.slice(done, done + subscription.maxBatch);
    const doneInBatch = await deliverBatch(subscription, batch, rules);
    done += doneInBatch;
    if (doneInBatch < batch.length) break;
  }
  return done;
}

async function deliverBatch(subscription: Subscription, batch: BusEvent[], rules: DeliveryRules) {
  if (batch.length > 1) {
    const result = await attempt(subscription, batch, rules);
    if (result === 'handled') return batch.length;
    if (result === 'stopped') return 0;
  }
  for (const [index, event] of batch.entries()) {
    if (!(await deliverAlone(subscription, event, rules))) return index;
  }
  return batch.length;
}

/** @returns whether the event was handled or became a dead letter. */
async function deliverAlone(subscription: Subscription, event: BusEvent, rules: DeliveryRules) {
  for (let tried = 0; ; tried++) {
    const result = await attempt(subscription, [event], rules);
    if (result === 'handled') return true;
    if (result === 'stopped') return false;
    const waitMs = rules.retryWaitsMs[tried];
    if (waitMs === undefined) {
      await rules.storeDeadLetter({ event, error: result.message, failedAt: new Date().toISOString() });
      return true;
    }
    await pause(waitMs, rules.stopping);
  }
}

/** One attempt, repeated while the fault is transient. @returns the error if it is not. */
async function attempt(
  { handle }: Subscription,
  events: BusEvent[],
  { isTransient, stopping }: DeliveryRules,
): Promise<'handled' | 'stopped' | Error> {
  if (stopping.aborted) return 'stopped';
  try {
    await retry(
      async () => {
        await handle(events);
        failpoint('handled');
      },
      { ...transientBackoff, signal: stopping, shouldRetry: isTransient },
    );
    return 'handled';
  } catch (error) {
    if (error === stopping.reason) return 'stopped';
    return error instanceof Error ? error : new Error(String(error));
  }
}
