import { setTimeout as delay } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import type { Config } from '../runtime/config.ts';
import { openDuty } from '../runtime/duty.ts';
import type { Log } from '../runtime/log.ts';
import type { DeadLetterShop } from '../sale/dead-letters.ts';
import { type Reconciled, reconcile } from '../sale/reconciliation.ts';

/**
 * Reconciles every `RECONCILE_INTERVAL_MS`, in one worker at a time; when that one dies, another goes on.
 * @param onPass is told what each pass put right.
 */
export function openReconciler(
  shop: DeadLetterShop,
  redis: Redis,
  config: Pick<Config, 'RECONCILE_INTERVAL_MS' | 'RECONCILE_AFTER_MS'>,
  log: Log,
  onPass: (done: Reconciled) => void = () => {},
): { close: () => Promise<void> } {
  const intervalMs = config.RECONCILE_INTERVAL_MS;
  return openDuty({ redis, name: 'reconciler', ttlMs: 3 * intervalMs, log }, async (stopping) => {
    while (!stopping.aborted) {
      const done = await reconcile(shop, { staleAfterMs: config.RECONCILE_AFTER_MS });
      onPass(done);
      if (done.forgotten.length > 0) log.error(done, 'purchases that nobody remembers');
      else if (done.givenUp + done.ended + done.requeued + done.gates > 0) log.warn(done, 'reconciled');
      await delay(intervalMs, undefined, { signal: stopping }).catch(() => {});
    }
  });
}
