import type { ClientSession } from 'mongoose';
import { appendChanges } from '../../log/events.ts';
import { mongoClock } from '../../runtime/clock.ts';
import { transact } from '../../runtime/databases/transact.ts';
import { byId, type Collections, type OrderRecord } from '../../store/collections.ts';
import type { PaymentRecord } from '../../store/payment-collections.ts';
import { refundChangeOf } from '../order.ts';
import { goingBackOf } from './payment.ts';

/**
 * Corrects what is refunded of the order of a payment, in its record and in the log: a refund has failed, or was made elsewhere.
 * @returns the order afterwards; null when it was correct.
 */
export async function countRefunds(
  collections: Collections,
  { _id: paymentId, orderId, saleId }: Pick<PaymentRecord, '_id' | 'orderId' | 'saleId'>,
): Promise<OrderRecord | null> {
  return await transact(collections.connection, async (session) => {
    const within = { session, hint: byId };
    const payment = await collections.payments.findOne({ _id: paymentId, saleId }, within);
    const order = payment && (await collections.orders.findOne({ _id: orderId, saleId }, within));
    if (!payment || order?.paymentId !== paymentId) return null;
    const refundedAmount = goingBackOf(payment);
    if ((order.refundedAmount ?? 0) === refundedAmount) return null;
    const reason = payment.refunds.at(-1)?.reason ?? null;
    return await writeRefunded(collections, order, refundedAmount, reason, session);
  });
}

/**
 * Writes what is refunded of an order, and the log's entry for it.
 * @param order as this transaction has read it.
 */
export async function writeRefunded(
  { sales, orders, ...collections }: Collections,
  order: OrderRecord,
  refundedAmount: number,
  reason: string | null,
  session: ClientSession,
): Promise<OrderRecord> {
  const { _id, saleId } = order;
  const numbered = { session, returnDocument: 'after', projection: { eventSeq: 1 } } as const;
  const sale = await sales.findOneAndUpdate({ _id: saleId }, { $inc: { eventSeq: 1 } }, numbered);
  if (!sale) throw new Error(`There is no sale ${saleId} any more`);
  await orders.updateOne({ _id, saleId }, { $set: { refundedAmount } }, { session, hint: byId });
  const after = { ...order, refundedAmount };
  const entry = { saleId, seq: sale.eventSeq, changes: [refundChangeOf(order, after, reason)] };
  await appendChanges({ sales, orders, ...collections }, [entry], mongoClock.now(), session);
  return after;
}
