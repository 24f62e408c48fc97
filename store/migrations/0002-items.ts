import { itemRecordsOf } from '../../sale/items.ts';
import { groupBySale } from '../../sale/sale.ts';
import type { Migration } from './migrate.ts';

const salesAtOnce = 500;
const ordersAtOnce = 2_000;

/**
 * Gives each sale its one item, and each order its money.
 *
 * The item's counts stay the sale's own, so processes of the previous version, which run meanwhile, go on selling it. Sales
 * and orders that they add later keep the old shape, and are read as a sale with one item and an order without money.
 */
export const items: Migration = {
  name: '0002-items',
  async up({ collections: { sales, orders }, keepLease }) {
    for (let after = ''; ; ) {
      await keepLease();
      const old = await sales
        .find({ _id: { $gt: after }, items: { $exists: false } })
        .sort({ _id: 1 })
        .limit(salesAtOnce)
        .toArray();
      const last = old.at(-1);
      if (!last) break;
      await sales.bulkWrite(
        old.map((sale) => ({
          updateOne: {
            filter: { _id: sale._id, items: { $exists: false } },
            update: { $set: { items: itemRecordsOf(sale) } },
          },
        })),
      );
      after = last._id;
    }

    for (let after = ''; ; ) {
      await keepLease();
      const page = await orders
        .find({ _id: { $gt: after } }, { projection: { saleId: 1, amount: 1 } })
        .sort({ _id: 1 })
        .limit(ordersAtOnce)
        .toArray();
      const last = page.at(-1);
      if (!last) return;
      const ofSales = groupBySale(page.filter(({ amount }) => amount === undefined));
      const named = await sales
        .find({ _id: { $in: [...ofSales.keys()] } }, { projection: { price: 1 } })
        .toArray();
      for (const { _id: saleId, price } of named) {
        const ids = (ofSales.get(saleId) ?? []).map(({ _id }) => _id);
        await orders.updateMany({ _id: { $in: ids }, amount: { $exists: false } }, [
          { $set: { amount: { $multiply: ['$quantity', price.amount] }, currency: price.currency } },
        ]);
      }
      after = last._id;
    }
  },
};
