import type { Log } from '../runtime/observe/log.ts';
import type { Gate } from '../sale/admission/gate.ts';
import type { Cancelled } from '../sale/settlement/cancellation.ts';
import type { Settled } from '../sale/settlement/transaction.ts';

/**
 * Tells the pages and the gates of orders that a leader's task has ended.
 * @returns a function that says whether the gates were updated.
 */
export function openEndedOrders(
  { gate, announceSettled }: { gate: Gate; announceSettled: (settled: Settled) => void },
  log: Log,
): (ended: Cancelled) => Promise<boolean> {
  return async ({ settled, returned }) => {
    announceSettled(settled);
    try {
      await gate.returnUnits(returned);
      return true;
    } catch (error) {
      // The comparison of the gates returns the units.
      log.warn({ error: (error as Error).message }, 'orders ended, but updating their gates failed');
      return false;
    }
  };
}
