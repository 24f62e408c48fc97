import type { Log } from '../../runtime/observe/log.ts';
import { readSaleSnapshot } from '../../sale/sale.ts';
import type { Cancelled } from '../../sale/settlement/cancellation.ts';
import type { SaleRecord } from '../../store/collections.ts';
import type { Shop } from '../shop.ts';

type Told = Pick<Shop, 'collections' | 'gate' | 'announceSale' | 'announceSettled'>;

/**
 * What MongoDB has is so, whether or not Redis hears of it now: the reconciler tells the gates what they missed. So the
 * answer is a success either way, and says with a header when it takes effect a little later.
 */
export const takesEffectSoon = { 'Takes-Effect': 'within seconds' };

/** Tells the gates and the pages what was written, and says whether the gates heard it. */
export function openAnnouncements({ collections, gate, announceSale, announceSettled }: Told, log: Log) {
  async function hear(what: Promise<unknown>, about: object): Promise<boolean> {
    try {
      await what;
      return true;
    } catch (error) {
      log.warn({ error: (error as Error).message, ...about }, 'written to MongoDB, but not told');
      return false;
    }
  }
  return {
    cancelled({ settled, returned }: Cancelled): Promise<boolean> {
      announceSettled(settled);
      return hear(gate.returnUnits(returned), { orders: settled.orders.length });
    },
    async changed(sale: SaleRecord): Promise<boolean> {
      const about = { saleId: sale._id };
      const isHeard = await hear(gate.sync(sale), about);
      // Read again, since a page shows whatever it is told last.
      const announce = async () => {
        const snapshot = await readSaleSnapshot(collections, sale._id);
        if (snapshot) announceSale(snapshot);
      };
      await hear(announce(), about);
      return isHeard;
    },
  };
}
