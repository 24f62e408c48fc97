import type { Config } from '../runtime/config.ts';
import type { Task } from '../runtime/leader/leader.ts';
import { pause } from '../runtime/pause.ts';
import type { DeadLetterShop } from '../sale/settlement/dead-letters.ts';
import { type Reconciled, reconcile } from '../sale/settlement/reconciliation.ts';

/**
 * Reconciles every `RECONCILE_INTERVAL_MS`.
 * @param repaired is called with the result of each pass.
 */
export function reconciler(
  shop: DeadLetterShop,
  { RECONCILE_INTERVAL_MS, RECONCILE_AFTER_MS }: Pick<Config, 'RECONCILE_INTERVAL_MS' | 'RECONCILE_AFTER_MS'>,
  repaired: (done: Reconciled) => void,
): Task {
  return async (stopping) => {
    while (!stopping.aborted) {
      repaired(await reconcile(shop, { staleAfterMs: RECONCILE_AFTER_MS }));
      await pause(RECONCILE_INTERVAL_MS, stopping);
    }
  };
}
