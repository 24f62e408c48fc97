import type { Config } from '../../runtime/config.ts';
import type { LeaderTask } from '../../runtime/leader/leader.ts';
import { pause } from '../../runtime/pause.ts';
import type { SettlementDependencies } from '../../sale/settlement/dead-letters.ts';
import { openReconciliation, type Reconciled } from '../../sale/settlement/reconciliation.ts';

/**
 * Reconciles every `RECONCILE_INTERVAL_MS`.
 * @param repaired is called with the result of each pass.
 */
export function reconciler(
  dependencies: SettlementDependencies,
  { RECONCILE_INTERVAL_MS, RECONCILE_AFTER_MS }: Pick<Config, 'RECONCILE_INTERVAL_MS' | 'RECONCILE_AFTER_MS'>,
  repaired: (done: Reconciled) => void,
): LeaderTask {
  const reconcile = openReconciliation(dependencies, { staleAfterMs: RECONCILE_AFTER_MS });
  return async (stopping) => {
    while (!stopping.aborted) {
      repaired(await reconcile());
      await pause(RECONCILE_INTERVAL_MS, stopping);
    }
  };
}
