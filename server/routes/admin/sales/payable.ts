import type { Money } from '../../../../sale/contract.ts';
import { type Refusal, refuse } from '../../../http/problems.ts';
import type { Shop } from '../../../shop.ts';

/** What decides whether the orders of a sale can be paid. */
interface PaymentTerms {
  paymentWindowSeconds?: number | undefined;
  limitPerBuyer: number;
  /** The prices of a unit. */
  prices: Money[];
}

/** The terms of a sale that is to be, with all its items. */
export const termsOf = (sale: {
  paymentWindowSeconds?: number | undefined;
  limitPerBuyer: number;
  items: { amount: number }[];
  currency: string;
}): PaymentTerms => ({
  paymentWindowSeconds: sale.paymentWindowSeconds,
  limitPerBuyer: sale.limitPerBuyer,
  prices: sale.items.map(({ amount }) => ({ amount, currency: sale.currency })),
});

/** @returns why orders of such a sale could not be paid in this shop; null when they can. */
export function unpayable(
  { payments }: Pick<Shop, 'payments'>,
  { paymentWindowSeconds = 0, limitPerBuyer, prices }: PaymentTerms,
): Refusal | null {
  const charged = prices.filter(({ amount }) => amount > 0);
  if (paymentWindowSeconds === 0 || charged.length === 0) return null;
  if (!payments) {
    const message = 'expected 0, because this shop takes no payments here (PAYMENT_PROVIDER)';
    return refusalOf('paymentWindowSeconds', message);
  }
  for (const price of charged) {
    const fault =
      payments.faultOf(price) ?? payments.faultOf({ ...price, amount: price.amount * limitPerBuyer });
    if (fault) return refusalOf('price', `expected what can be charged: ${fault}`);
  }
  return null;
}

const refusalOf = (field: string, message: string) =>
  refuse('invalid-input', `${field}: ${message}`, { errors: [{ field, message }] });
