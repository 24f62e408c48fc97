import type { Log } from '../runtime/observe/log.ts';
import type { Gate } from '../sale/admission/gate.ts';
import type { SaleSnapshot } from '../sale/contract.ts';
import { readSaleSnapshot } from '../sale/sale.ts';
import type { Cancelled } from '../sale/settlement/cancellation.ts';
import type { Settled } from '../sale/settlement/transaction.ts';
import type { Collections } from '../store/collections.ts';

interface Targets {
  collections: Collections;
  gate: Gate;
  announceSettled: (settled: Settled) => void;
  announceSale: (snapshot: SaleSnapshot) => void;
}

/**
 * Tells the pages and the gates of orders that a leader's task has ended.
 * @returns a function that says whether the gates were updated.
 */
export function openEndedOrders(
  { collections, gate, announceSettled, announceSale }: Targets,
  log: Log,
): (ended: Cancelled) => Promise<boolean> {
  async function succeeds(work: Promise<unknown>): Promise<boolean> {
    try {
      await work;
      return true;
    } catch (error) {
      // The comparison of the gates returns the units, and announces the sales.
      log.warn({ error: (error as Error).message }, 'orders ended, but announcing it failed');
      return false;
    }
  }
  async function announce(saleId: string): Promise<void> {
    const snapshot = await readSaleSnapshot(collections, saleId);
    if (snapshot) announceSale(snapshot);
  }
  return async ({ settled, returned, shrunk }) => {
    announceSettled(settled);
    const isReturned = await succeeds(gate.returnUnits(returned));
    for (const saleId of shrunk) await succeeds(announce(saleId));
    return isReturned;
  };
}
