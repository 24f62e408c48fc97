import { transact } from '../../../runtime/databases/transact.ts';
import type { PaymentProvider } from '../../../sale/payment/provider.ts';
import type { Collections } from '../../../store/collections.ts';
import type { Webhook } from '../../measure/authorised-payments.ts';

/**
 * Settles authorised payments the plain way: one transaction for each marks its order paid, then it is captured, and that is
 * written. It writes no event log, and nothing continues after a crash.
 */
export async function settlePlainly(
  collections: Collections,
  provider: PaymentProvider,
  webhooks: Webhook[],
  atOnce: number,
): Promise<void> {
  const { connection, orders, payments } = collections;
  let next = 0;
  async function settleInTurns(): Promise<void> {
    while (next < webhooks.length) {
      const { body, headers } = webhooks[next++] as Webhook;
      const message = provider.verifyWebhook(Buffer.from(body), (name) => headers[name]);
      if (!message?.report) throw new Error('expected a signed webhook with a report');
      const { paymentId, report } = message;
      await transact(connection, async (session) => {
        const payment = await payments.findOne({ _id: paymentId }, { session });
        const held = { _id: payment?.orderId ?? '', status: 'held' as const };
        const { modifiedCount } = await orders.updateOne(
          held,
          { $set: { status: 'paid', paymentId } },
          { session },
        );
        if (modifiedCount === 0) throw new Error(`expected the order of ${paymentId} to be held`);
        const authorised = { state: 'authorised' as const, authorisedAt: new Date() };
        await payments.updateOne({ _id: paymentId }, { $set: authorised }, { session });
      });
      const { capturedAmount } = await provider.capture({ ...report, attempts: 0 });
      const captured = { state: 'captured' as const, capturedAmount, capturedAt: new Date(), dueAt: null };
      await payments.updateOne({ _id: paymentId }, { $set: captured, $inc: { revision: 1 } });
    }
  }
  await Promise.all(Array.from({ length: atOnce }, settleInTurns));
}
