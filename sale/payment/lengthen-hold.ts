import { byId, type Collections, type OrderRecord } from '../../store/collections.ts';
import type { PaymentRecord } from '../../store/payment-collections.ts';

/** How much later a hold ends, once, while the provider processes its payment. */
export const lengthenedByMs = 120_000;

/** @returns the order; null when it is not held any more, or was lengthened before. */
export async function lengthenHold(
  { orders }: Pick<Collections, 'orders'>,
  { orderId, saleId }: Pick<PaymentRecord, 'orderId' | 'saleId'>,
): Promise<OrderRecord | null> {
  return await orders.findOneAndUpdate(
    { _id: orderId, saleId, status: 'held', holdLengthened: { $exists: false } },
    [
      {
        $set: {
          holdExpiresAt: { $add: ['$holdExpiresAt', lengthenedByMs] },
          holdLengthened: true,
        },
      },
    ],
    { returnDocument: 'after', hint: byId },
  );
}
