import type { Collections, OrderRecord } from '../../store/collections.ts';

/** How much later a hold ends, once, while the provider processes its payment. */
export const lengthenedByMs = 120_000;

/** @returns the order; null when it is not held any more, or was lengthened before. */
export async function lengthenHold(
  { orders }: Pick<Collections, 'orders'>,
  orderId: string,
): Promise<OrderRecord | null> {
  return await orders.findOneAndUpdate(
    { _id: orderId, status: 'held', holdLengthened: { $exists: false } },
    [
      {
        $set: {
          holdExpiresAt: { $add: ['$holdExpiresAt', lengthenedByMs] },
          holdLengthened: true,
        },
      },
    ],
    { returnDocument: 'after' },
  );
}
