import type { Collections } from '../../store/collections.ts';
import type { OrderPayment } from '../contract.ts';
import { refundableOf } from './payment.ts';

const maxShown = 20;

/** The payments of an order, as its buyer sees them, the newest first. */
export async function listPayments({ payments }: Collections, orderId: string): Promise<OrderPayment[]> {
  const found = await payments.find({ orderId }).sort({ createdAt: -1, _id: -1 }).limit(maxShown).toArray();
  return found.map((payment) => {
    const {
      _id: paymentId,
      provider,
      state,
      isProcessing,
      failure,
      amount,
      currency,
      capturedAmount,
    } = payment;
    return {
      ...{ paymentId, provider, state, isProcessing, failure, amount, currency, capturedAmount },
      returnedAmount: capturedAmount - refundableOf(payment),
      capturedAt: payment.capturedAt?.toISOString() ?? null,
    };
  });
}
