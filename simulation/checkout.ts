import type { By } from '../accounts/staff-log.ts';
import type { System } from '../commands/system.ts';
import { openPayments, type Payments } from '../sale/payment/payments.ts';
import { PaymentFault } from '../sale/payment/provider.ts';
import {
  type Incident,
  openSimulated,
  type SimulatedCard,
  type SimulatedProvider,
} from '../sale/payment/simulated.ts';
import { type Cancellation, cancelOrders } from '../sale/settlement/cancellation.ts';

/** The payments of a simulated shop, with the simulated provider, whose webhooks come when a history says so. */
export interface Checkout {
  provider: SimulatedProvider;
  pay(order: { orderId: string; buyerId: string }, card: SimulatedCard, asks: boolean): Promise<void>;
  hear(number: number): Promise<void>;
  happen(orderId: string, incident: Incident): Promise<void>;
  refund(
    orderId: string,
    wanted: { amount: number | undefined; key: string | undefined },
    isAnnounced: boolean,
  ): Promise<void>;
  /** The webhooks of refunds that the shop did not ask for: nothing else tells of these, so they come in the end. */
  hearOfRefunds(): Promise<void>;
  /** Takes every step that is due or was put off. */
  settle(): Promise<void>;
}

interface Webhook {
  body: string;
  headers: Record<string, string>;
}

const endOfTime = new Date('9999-01-01');
/** A step that fails is put off for this long; `settle` does not wait for it. */
const stepMs = 10;
const log = { warn() {}, info() {}, error() {}, debug() {} } as never;

export function openCheckout(system: System, by: By): Checkout {
  const { collections, gate } = system;
  const webhooks: Webhook[] = [];
  const ofRefunds: Webhook[] = [];
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

  const { simulatedPayments: ledger } = collections;
  async function receive({ body, headers }: Webhook): Promise<void> {
    await payments.receive(Buffer.from(body), (name) => headers[name]);
    await payments.drained();
  }

  return {
    provider,
    async pay({ orderId, buyerId }, card, asks) {
      const started = await payments.start({ orderId, buyerId }).catch(passing);
      const secret = started && 'paymentId' in started ? started.handover?.clientSecret : undefined;
      if (secret === undefined) return;
      const confirmed = await provider.confirm(secret, card);
      // Only a step of the history ends the processing.
      const processed = { _id: confirmed?.providerId ?? '', processingUntil: { $ne: null } };
      await ledger.updateOne(processed, { $set: { processingUntil: endOfTime } });
      if (asks) await payments.start({ orderId, buyerId }).catch(passing);
      await payments.drained();
    },
    async hear(number) {
      const webhook = webhooks[number];
      if (webhook) await receive(webhook);
    },
    async happen(orderId, incident) {
      const payment = await collections.payments.findOne({ orderId }, { sort: { createdAt: -1 } });
      if (!payment?.providerId) return;
      const heardBefore = webhooks.length;
      await provider.happen(payment.providerId, incident);
      if (incident.type === 'refunded_elsewhere') ofRefunds.push(...webhooks.slice(heardBefore));
    },
    async hearOfRefunds() {
      for (const webhook of ofRefunds) await receive(webhook);
    },
    async refund(orderId, { amount, key }, isAnnounced) {
      const wanted = { orderId, amount, reason: 'simulated', key };
      const refunded = await payments.refund(wanted, by);
      const whole = { by: 'staff', staff: by, reason: 'simulated', restock: false } as const;
      if (refunded === 'whole') await cancel({ orderId, ...whole, refund: { key } }, isAnnounced);
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
