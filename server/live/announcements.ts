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
  return {
    cancelled({ settled, returned }: Cancelled): Promise<boolean> {
      announceSettled(settled);
      return succeeds(gate.returnUnits(returned), { orders: settled.orders.length });
    },
    async changed(sale: SaleRecord): Promise<boolean> {
      const about = { saleId: sale._id };
      const isSynced = await succeeds(gate.sync(sale), about);
      // Read again, because a page shows the last snapshot it gets, and this one could be outdated.
      const announce = async () => {
        const snapshot = await readSaleSnapshot(collections, sale._id);
        if (snapshot) announceSale(snapshot);
      };
      await succeeds(announce(), about);
      return isSynced;
    },
  };
}
