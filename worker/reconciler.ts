import type { Config } from '../runtime/config.ts';
import type { Task } from '../runtime/leader/leader.ts';
import type { Log } from '../runtime/observe/log.ts';
import { pause } from '../runtime/pause.ts';
import type { DeadLetterShop } from '../sale/settlement/dead-letters.ts';
import { type Reconciled, reconcile } from '../sale/settlement/reconciliation.ts';

/**
 * Reconciles every `RECONCILE_INTERVAL_MS`.
 * @param onPass is called with the result of each pass.
 */
export function reconciler(
  shop: DeadLetterShop,
  { RECONCILE_INTERVAL_MS, RECONCILE_AFTER_MS }: Pick<Config, 'RECONCILE_INTERVAL_MS' | 'RECONCILE_AFTER_MS'>,
  log: Log,
  onPass: (done: Reconciled) => void,
): Task {
  return async (stopping) => {
    while (!stopping.aborted) {
      const done = await reconcile(shop, { staleAfterMs: RECONCILE_AFTER_MS });
      onPass(done);
      if (done.forgotten.length > 0) log.error(done, 'accepted purchases lost: no job and no data in Redis');
      else if (done.givenUp + done.ended + done.requeued > 0) log.warn(done, 'reconciled purchases');
      await pause(RECONCILE_INTERVAL_MS, stopping);
    }
  };
}
