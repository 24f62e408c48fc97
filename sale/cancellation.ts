import type { Collections, OrderRecord, SaleRecord } from './collections.ts';
import type { Order } from './contract.ts';
import { allowanceKey, personOf } from './decide.ts';
import { appendChanges } from './events.ts';
import type { Returned } from './gate.ts';
import { changeOf, orderOf } from './order.ts';
import type { Settled } from './transaction.ts';

/**
 * Cancels a paid order and puts its units back on sale, in one transaction.
 * @returns what changed, for those who watch; null when this buyer has no such order, or it is not a paid one.
 */
export async function cancelOrder(
  collections: Collections,
  orderId: string,
  buyerId: string,
  traceparent?: string,
): Promise<{ settled: Settled; order: Order; returned: Returned } | null> {
  const { orders, sales, allowances } = collections;
  return await orders.db.withSession((session) =>
    session.withTransaction(async () => {
      const order = await orders
        .findOneAndUpdate(
          { _id: orderId, buyerId, status: 'paid' },
          { status: 'cancelled' },
          { session, returnDocument: 'after' },
        )
        .lean<OrderRecord>();
      if (!order) return null;
      const { saleId, quantity } = order;
      const sale = await sales
        .findByIdAndUpdate(
          saleId,
          { $inc: { stock: quantity, unitsReturned: quantity, stockVersion: 1, eventSeq: 1 } },
          { session, returnDocument: 'after' },
        )
        .lean<SaleRecord>();
      await allowances.updateOne(
        { _id: allowanceKey(saleId, personOf(order)) },
        { $inc: { units: -quantity } },
        { session },
      );
      const { stock = 0, stockVersion = 0, unitsReturned = 0, eventSeq = 0 } = sale ?? {};
      const at = new Date();
      const changes = [changeOf({ ...order, traceparent })];
      await appendChanges(collections, [{ saleId, seq: eventSeq, changes }], at, session);
      return {
        settled: {
          stocks: [{ saleId, stock, stockVersion, at: at.toISOString() }],
          orders: [{ buyerId, order: orderOf(order) }],
        },
        order: orderOf(order),
        returned: { saleId, unitsReturned, orders: [{ personId: personOf(order), quantity }] },
      };
    }),
  );
}
