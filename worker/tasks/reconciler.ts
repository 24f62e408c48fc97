import type { Config } from '../../runtime/config.ts';
import type { LeaderTask } from '../../runtime/leader/leader.ts';
import type { Log } from '../../runtime/observe/log.ts';
import { pause } from '../../runtime/pause.ts';
import type { SettlementDependencies } from '../../sale/settlement/dead-letters.ts';
import { openReconciliation, type Reconciled } from '../../sale/settlement/reconciliation.ts';
import type { Shard } from '../../sale/shard.ts';

/**
 * Reconciles every `RECONCILE_INTERVAL_MS`.
 * @param repaired is called with the result of each pass.
 */
export function reconciler(
  dependencies: SettlementDependencies,
  { RECONCILE_INTERVAL_MS, RECONCILE_AFTER_MS }: Pick<Config, 'RECONCILE_INTERVAL_MS' | 'RECONCILE_AFTER_MS'>,
  log: Log,
  repaired: (done: Reconciled) => void,
): LeaderTask {
  const reconcile = openReconciliation(dependencies, { staleAfterMs: RECONCILE_AFTER_MS });
  return async (stopping) => {
    /** The shards that were away in the last pass: only others are logged. */
    let away = new Set<Shard>();
    while (!stopping.aborted) {
      const before = away;
      away = new Set();
      const onAway = (shard: Shard, { message }: Error) => {
        away.add(shard);
        if (!before.has(shard)) log.warn({ shard, error: message }, 'a shard cannot be reconciled');
      };
      repaired(await reconcile(onAway));
      await pause(RECONCILE_INTERVAL_MS, stopping);
    }
  };
}
