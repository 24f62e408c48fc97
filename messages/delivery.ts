import { failpoint } from '../runtime/failpoints.ts';
import { pause } from '../runtime/pause.ts';
import type { BusEvent, DeadEvent, Subscription } from './bus.ts';

/** What an engine adds to a subscription to have its events handled. */
export interface DeliveryRules {
  /** Before the second attempt at an event, the third, …: there is one attempt more than there are waits, which is 5. */
  retryWaitsMs: readonly number[];
  /** Whether a fault will pass by itself, like a MongoDB that is away. It is waited out and uses up no attempt. */
  isPassing: (error: unknown) => boolean;
  /** Keeps an event that could not be handled; resolves when it is safe. It may get the same event again. */
  bury: (letter: DeadEvent) => Promise<void>;
  /** Ends the waiting, never a handler that runs. */
  stopping: AbortSignal;
}

const firstPassingWaitMs = 200;
const lastPassingWaitMs = 5_000;

/**
 * Hands events to a subscription in their order, whichever engine brought them: a batch at a time, after a fault one by
 * one, and an event that fails at every attempt goes to the dead letters. The events behind it wait meanwhile.
 * @returns how many of them, from the first on, are done with: fewer than there are only when `stopping` came between.
 * @throws what `bury` threw; then none of them counts as done.
 */
export async function deliver(
  subscription: Subscription,
  events: BusEvent[],
  rules: DeliveryRules,
): Promise<number> {
  let done = 0;
  while (done < events.length) {
    const batch = events.slice(done, done + subscription.maxBatch);
    const doneOfBatch = await deliverBatch(subscription, batch, rules);
    done += doneOfBatch;
    if (doneOfBatch < batch.length) break;
  }
  return done;
}

async function deliverBatch(subscription: Subscription, batch: BusEvent[], rules: DeliveryRules) {
  if (batch.length > 1) {
    const ending = await attempt(subscription, batch, rules);
    if (ending === 'handled') return batch.length;
    if (ending === 'stopped') return 0;
  }
  for (const [index, event] of batch.entries()) {
    if (!(await deliverAlone(subscription, event, rules))) return index;
  }
  return batch.length;
}

/** @returns whether the event is done with: handled, or a dead letter. */
async function deliverAlone(subscription: Subscription, event: BusEvent, rules: DeliveryRules) {
  for (let tried = 0; ; tried++) {
    const ending = await attempt(subscription, [event], rules);
    if (ending === 'handled') return true;
    if (ending === 'stopped') return false;
    const waitMs = rules.retryWaitsMs[tried];
    if (waitMs === undefined) {
      await rules.bury({ event, error: ending.message, failedAt: new Date().toISOString() });
      return true;
    }
    await pause(waitMs, rules.stopping);
  }
}

/** One attempt, which lasts as long as the only fault is a passing one. @returns what was thrown, if it was. */
async function attempt(
  { handle }: Subscription,
  events: BusEvent[],
  { isPassing, stopping }: DeliveryRules,
): Promise<'handled' | 'stopped' | Error> {
  for (let waitMs = firstPassingWaitMs; !stopping.aborted; waitMs = Math.min(2 * waitMs, lastPassingWaitMs)) {
    try {
      await handle(events);
      failpoint('handled');
      return 'handled';
    } catch (error) {
      if (!isPassing(error)) return error instanceof Error ? error : new Error(String(error));
    }
    await pause(waitMs, stopping);
  }
  return 'stopped';
}
