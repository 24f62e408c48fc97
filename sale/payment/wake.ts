import type { ClientSession } from 'mongoose';
import { mongoClock } from '../../runtime/clock.ts';
import type { Collections, OrderRecord } from '../../store/collections.ts';
import { byOrder } from '../../store/payment-collections.ts';
import { inSales } from '../sale.ts';

/**
 * Makes the payments of these orders due now, so that their money follows the orders. Call it in the
 * transaction that changes the orders.
 */
export async function wakePayments(
  { payments }: Collections,
  orders: Pick<OrderRecord, '_id' | 'saleId' | 'paymentId' | 'holdExpiresAt'>[],
  session: ClientSession,
): Promise<void> {
  const payable = orders.filter(({ paymentId, holdExpiresAt }) => paymentId || holdExpiresAt);
  if (payable.length === 0) return;
  await payments.updateMany(
    {
      orderId: { $in: payable.map(({ _id }) => _id) },
      ...inSales(payable),
      state: { $nin: ['voided', 'refunded'] },
    },
    // The revision makes a writer that has read the payment before read it again.
    { $set: { dueAt: mongoClock.now() }, $inc: { revision: 1 } },
    { session, hint: byOrder },
  );
}
