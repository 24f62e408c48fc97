import type { By } from '../accounts/staff-log.ts';
import type { System } from '../commands/system.ts';
import { openPayments, type Payments } from '../sale/payment/payments.ts';
import { PaymentFault } from '../sale/payment/provider.ts';
import { openSimulated, type SimulatedCard, type SimulatedProvider } from '../sale/payment/simulated.ts';
import { type Cancellation, cancelOrders } from '../sale/settlement/cancellation.ts';

/** The payments of a simulated shop, with the simulated provider, whose webhooks come when a history says so. */
export interface Checkout {
  provider: SimulatedProvider;
  pay(order: { orderId: string; buyerId: string }, card: SimulatedCard, asks: boolean): Promise<void>;
  hear(number: number): Promise<void>;
  refund(orderId: string, amount: number | undefined, isAnnounced: boolean): Promise<void>;
  /** Takes every step that is due or was put off. */
  settle(): Promise<void>;
}

/** A step that fails is put off for this long; `settle` does not wait for it. */
const stepMs = 10;
const log = { warn() {}, info() {}, error() {}, debug() {} } as never;

export function openCheckout(system: System, by: By): Checkout {
  const { collections, gate } = system;
  const webhooks: { body: string; headers: Record<string, string> }[] = [];
  const provider = openSimulated({
    collections,
    webhookSecrets: ['simulated'],
    latencyMs: 0,
    async deliver(body, headers) {
      webhooks.push({ body, headers });
    },
  });
  async function cancel(cancellation: Cancellation, isAnnounced = true) {
    const { answers, cancelled } = await cancelOrders(collections, [cancellation]);
    if (cancelled && isAnnounced) await gate.returnUnits(cancelled.returned);
    return { answer: answers[0] ?? null, isAnnounced };
  }
  const otherWriters = { announce() {} };
  const payments: Payments = openPayments({
    ...{ collections, provider, otherWriters, stepMs, log },
    announce() {},
    cancel: (cancellation) => cancel(cancellation),
  });

  return {
    provider,
    async pay({ orderId, buyerId }, card, asks) {
      const started = await payments.start({ orderId, buyerId }).catch(passing);
      const secret = started && 'paymentId' in started ? started.handover?.clientSecret : undefined;
      if (secret === undefined) return;
      await provider.confirm(secret, card);
      if (asks) await payments.start({ orderId, buyerId }).catch(passing);
      await payments.drained();
    },
    async hear(number) {
      const webhook = webhooks[number];
      if (!webhook) return;
      await payments.receive(Buffer.from(webhook.body), (name) => webhook.headers[name]);
      await payments.drained();
    },
    async refund(orderId, amount, isAnnounced) {
      const wanted = { orderId, amount, reason: 'simulated', key: undefined };
      const refunded = await payments.refund(wanted, by);
      const whole = { by: 'staff', staff: by, reason: 'simulated', restock: false } as const;
      if (refunded === 'whole') await cancel({ orderId, ...whole, refund: { key: undefined } }, isAnnounced);
      await payments.drained();
    },
    async settle() {
      const putOff = { dueAt: { $ne: null } };
      await collections.payments.updateMany(putOff, { $set: { dueAt: new Date(0) }, $inc: { revision: 1 } });
      await payments.settleDue(1_000);
      await payments.drained();
    },
  };
}

function passing(error: unknown): null {
  if (error instanceof PaymentFault) return null;
  throw error;
}
