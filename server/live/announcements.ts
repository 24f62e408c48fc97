import type { Log } from '../../runtime/observe/log.ts';
import { readSaleSnapshot } from '../../sale/sale.ts';
import type { Cancelled } from '../../sale/settlement/cancellation.ts';
import type { SaleRecord } from '../../store/collections.ts';
import type { Shop } from '../shop.ts';

type Targets = Pick<Shop, 'collections' | 'gate' | 'announceSale' | 'announceSettled'>;

/**
 * The header of a change that is committed in MongoDB but did not reach Redis: the request succeeded, and the comparison of
 * the gates applies the change within seconds.
 */
export const takesEffectSoon = { 'Takes-Effect': 'within seconds' };

/** Sends committed changes to the gates and pages, and returns whether the gates were updated. */
export function openAnnouncements({ collections, gate, announceSale, announceSettled }: Targets, log: Log) {
  async function succeeds(work: Promise<unknown>, about: object): Promise<boolean> {
    try {
      await work;
      return true;
    } catch (error) {
      log.warn({ error: (error as Error).message, ...about }, 'change committed, but announcing it failed');
      return false;
    }
  }
  /** The sale is read again, because a page shows the last snapshot it gets, and an older one could be outdated. */
  async function announce(saleId: string): Promise<void> {
    const snapshot = await readSaleSnapshot(collections, saleId);
    if (snapshot) announceSale(snapshot);
  }
  return {
    async cancelled({ settled, returned, shrunk }: Cancelled): Promise<boolean> {
      announceSettled(settled);
      const isReturned = await succeeds(gate.returnUnits(returned), { orders: settled.orders.length });
      for (const saleId of shrunk) await succeeds(announce(saleId), { saleId });
      return isReturned;
    },
    async changed(sale: SaleRecord): Promise<boolean> {
      const about = { saleId: sale._id };
      const isSynced = await succeeds(gate.sync(sale), about);
      await succeeds(announce(sale._id), about);
      return isSynced;
    },
  };
}
