import { openProvider } from '../../sale/payment/open-provider.ts';
import { apply, newPayment, paymentIdOf } from '../../sale/payment/payment.ts';
import { settleMaxPurchases } from '../../sale/settlement/settlement.ts';
import { settleBatch } from '../../sale/settlement/transaction.ts';
import type { OrderRecord } from '../../store/collections.ts';
import { type OwnTestbed, openBenchSale } from '../systems/testbed.ts';
import { backlogOf } from './drain.ts';

/** A webhook that the provider signed, and did not send yet. */
export interface Webhook {
  body: string;
  headers: Record<string, string>;
}

const hourMs = 3_600_000;
const atOnce = 100;

/** Creates a sale with held orders of one unit each. */
export async function holdOrders(
  { system }: OwnTestbed,
  { count, stock = count }: { count: number; stock?: number },
): Promise<{ saleId: string; held: OrderRecord[] }> {
  const terms = { limitPerBuyer: 1_000_000, paymentWindowSeconds: hourMs / 1_000 };
  const saleId = await openBenchSale(system, { name: 'Bench: payments', stock, ...terms });
  const purchases = backlogOf(saleId, count, count);
  const held: OrderRecord[] = [];
  for (let start = 0; start < count; start += settleMaxPurchases) {
    const batch = purchases.slice(start, start + settleMaxPurchases);
    held.push(...(await settleBatch(system.collections, batch)).createdOrders);
  }
  return { saleId, held };
}

/**
 * Creates a sale with held orders, whose payments the buyers have authorised at the provider just now.
 * @returns the webhooks with which the shop learns of it.
 */
export async function authorisePayments(testbed: OwnTestbed, size: { count: number; stock?: number }) {
  const { config, collections } = testbed.system;
  const { saleId, held } = await holdOrders(testbed, size);
  const webhooks: Webhook[] = [];
  const { simulated } = await openProvider(config, collections, async (body, headers) => {
    webhooks.push({ body, headers });
  });
  if (!simulated) throw new Error('expected the simulated provider');
  const { name: provider, start, confirm } = simulated;
  for (let first = 0; first < held.length; first += atOnce) {
    const begun = held.slice(first, first + atOnce).map(async ({ _id: orderId, amount, currency }) => {
      const price = { amount: amount as number, currency: currency as string };
      const payment = { paymentId: paymentIdOf(orderId, 1), orderId, price };
      const report = await start({ ...payment, attempts: 0 });
      await confirm(report.handover?.clientSecret ?? '', 'ok');
      const now = new Date();
      const times = { now, dueAt: new Date(now.getTime() + hourMs) };
      return apply(newPayment(payment, { saleId, provider }, times), report, now);
    });
    await collections.payments.insertMany(await Promise.all(begun));
  }
  return { saleId, webhooks };
}
