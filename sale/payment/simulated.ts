import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { mongoClock } from '../../runtime/clock.ts';
import { groupCommit } from '../../runtime/group-commit.ts';
import { pause } from '../../runtime/pause.ts';
import { type Collections, findOrInsert } from '../../store/collections.ts';
import type { SimulatedPaymentRecord } from '../../store/payment-collections.ts';
import {
  PaymentFault,
  type PaymentProvider,
  type PaymentReport,
  type ProviderPayment,
  type WebhookMessage,
} from './provider.ts';

/** How the simulated provider behaves for a card. The real ones behave like `ok` nearly always. */
interface Behaviour {
  /** The reason for which each attempt to pay is refused. */
  refusal?: string;
  /** The money is taken at once, because the method knows no authorisation. */
  isDirect?: boolean;
  /** How long an attempt to pay is processed. */
  processingMs?: number;
  webhooks?: 'lost' | 'doubled' | 'late';
  /** Each capture, or void, is done and then answered with an error. */
  answersErrors?: boolean;
  /** How often a refund is refused before it is made. */
  refundRefusals?: number;
  /** Added to the latency of each call. */
  slowMs?: number;
}

/** The cards that a demo or a test can pay with. */
const cards = {
  ok: {},
  refused: { refusal: 'card_declined' },
  'no-funds': { refusal: 'insufficient_funds' },
  direct: { isDirect: true },
  processing: { processingMs: 3_000 },
  'webhook-lost': { webhooks: 'lost' },
  'webhook-doubled': { webhooks: 'doubled' },
  'webhook-late': { webhooks: 'late' },
  'answers-lost': { answersErrors: true },
  'refund-refused': { isDirect: true, refundRefusals: 2 },
  slow: { slowMs: 2_000 },
} as const satisfies Record<string, Behaviour>;

export type SimulatedCard = keyof typeof cards;
export const simulatedCards = Object.keys(cards) as [SimulatedCard, ...SimulatedCard[]];

const behaviourOf = ({ card }: SimulatedPaymentRecord): Behaviour =>
  cards[(card ?? 'ok') as SimulatedCard] ?? {};

export interface SimulatedOptions {
  collections: Collections;
  /** The first one signs webhooks, all of them verify. */
  webhookSecrets: readonly string[];
  /** How long each call takes. */
  latencyMs: number;
  /** Posts a signed webhook to the shop; a failed one is not sent again. Without it all webhooks are lost. */
  deliver?: (body: string, headers: Record<string, string>) => Promise<unknown>;
}

/** The simulated provider, and what its own page would do for the buyer. */
export interface SimulatedProvider extends PaymentProvider {
  /** Pays with a card; the provider gives its fingerprint as it is told here, or none. @returns the payment afterwards; null when there is none with this secret. */
  confirm(
    clientSecret: string,
    card: SimulatedCard,
    fingerprint?: string | undefined,
  ): Promise<PaymentReport | null>;
  /** Does what happens at a provider without the shop; nothing when the payment is not in such a state. */
  happen(providerId: string, incident: Incident): Promise<void>;
}

/**
 * What is processed is authorised or refused; an authorisation expires, or the bank takes it back; somebody gives a part of the
 * money back in the provider's own pages.
 */
export type Incident =
  | { type: 'processed'; isRefused: boolean }
  | { type: 'authorisation_lost' }
  | { type: 'refunded_elsewhere'; amount: number };

/** A change of a payment that is in one of these stages. */
interface LedgerChange {
  _id: string;
  stages: SimulatedPaymentRecord['stage'][];
  fields: Pick<SimulatedPaymentRecord, 'stage'> & Partial<SimulatedPaymentRecord>;
}

const maxBatch = 500;
const maxWaiting = 10_000;

const simulatedSignatureHeader = 'simulated-signature';
const toleranceMs = 300_000;
const lateMs = 5_000;

/**
 * A provider without money, so that everything can be tried without an account elsewhere. It keeps a ledger of its own in
 * MongoDB, which the shop reads and writes only through this file.
 */
export function openSimulated({
  collections,
  webhookSecrets,
  latencyMs,
  deliver,
}: SimulatedOptions): SimulatedProvider {
  const { simulatedPayments: ledger } = collections;
  // The ledger is in the shop's MongoDB, where a command for each payment would cost more than the shop's own writes.
  const reading = groupCommit({
    send: (ids: string[]) => readAll(ledger, ids),
    maxBatch,
    maxWaiting,
  });
  const changing = groupCommit({
    send: (changes: LedgerChange[]) => changeAll(ledger, changes),
    maxBatch,
    maxWaiting,
  });

  async function find({ providerId }: ProviderPayment): Promise<SimulatedPaymentRecord> {
    await pause(latencyMs);
    const record = await reading.submit(providerId);
    if (!record) throw new PaymentFault('refused', `there is no payment ${providerId}`);
    const { slowMs = 0 } = behaviourOf(record);
    if (slowMs > 0) await pause(slowMs);
    return await finishProcessing(record);
  }

  /** What was processed long enough is authorised. */
  async function finishProcessing(record: SimulatedPaymentRecord): Promise<SimulatedPaymentRecord> {
    const { _id, processingUntil } = record;
    if (processingUntil === null || processingUntil > mongoClock.now()) return record;
    const change = { $set: { stage: 'authorised' as const, processingUntil: null } };
    return (
      (await ledger.findOneAndUpdate({ _id, processingUntil }, change, { returnDocument: 'after' })) ?? record
    );
  }

  /** Changes a payment that is in one of these stages. @throws PaymentFault when it is not. */
  async function change(
    payment: ProviderPayment,
    stages: SimulatedPaymentRecord['stage'][],
    fields: LedgerChange['fields'],
  ): Promise<PaymentReport> {
    const record = await find(payment);
    const changed = await changing.submit({ _id: record._id, stages, fields });
    if (!changed) throw new PaymentFault('refused', `the payment is ${record.stage}`);
    send(changed);
    if (behaviourOf(record).answersErrors) throw new PaymentFault('unknown', 'answered 500');
    return reportOf(changed);
  }

  /** Makes a refund unless it exists, or more than is left would go back. */
  async function makeRefund(
    { _id, capturedAmount }: SimulatedPaymentRecord,
    refund: SimulatedPaymentRecord['refunds'][number],
  ): Promise<SimulatedPaymentRecord | null> {
    const most = capturedAmount - refund.amount;
    return await ledger.findOneAndUpdate(
      {
        _id,
        'refunds.refundId': { $ne: refund.refundId },
        $expr: { $lte: [{ $sum: '$refunds.amount' }, most] },
      },
      { $push: { refunds: refund } },
      { returnDocument: 'after' },
    );
  }

  async function happened(_id: string, incident: Incident): Promise<SimulatedPaymentRecord | null> {
    const after = { returnDocument: 'after' } as const;
    switch (incident.type) {
      case 'processed': {
        const outcome = incident.isRefused
          ? { stage: 'failed' as const, failure: 'processing_failed' }
          : { stage: 'authorised' as const };
        const change = { $set: { ...outcome, processingUntil: null } };
        return await ledger.findOneAndUpdate({ _id, processingUntil: { $ne: null } }, change, after);
      }
      case 'authorisation_lost':
        return await ledger.findOneAndUpdate(
          { _id, stage: 'authorised' },
          { $set: { stage: 'voided' } },
          after,
        );
      case 'refunded_elsewhere': {
        const record = await ledger.findOne({ _id });
        const refundId = `elsewhere_${record?.refunds.length}`;
        return record && (await makeRefund(record, { refundId, amount: incident.amount }));
      }
    }
  }

  /** Sends a webhook with the state of the payment, as its card has it. */
  function send(record: SimulatedPaymentRecord): void {
    const { webhooks } = behaviourOf(record);
    if (!deliver || webhooks === 'lost') return;
    const body = JSON.stringify({
      paymentId: record.paymentId,
      providerId: record._id,
      report: reportOf(record, { withSecret: false }),
    });
    const post = async () => {
      const headers = { [simulatedSignatureHeader]: sign(webhookSecrets[0] ?? '', mongoClock.now(), body) };
      await deliver(body, headers).catch(() => {});
    };
    if (webhooks === 'late') setTimeout(post, lateMs).unref();
    else void post();
    if (webhooks === 'doubled') void post();
  }

  return {
    name: 'simulated',
    faultOf: () => null,

    async start({ paymentId, price }) {
      await pause(latencyMs);
      const record = await findOrInsert(ledger, {
        _id: `sim_${paymentId}`,
        paymentId,
        clientSecret: `sim_secret_${randomBytes(18).toString('base64url')}`,
        ...price,
        stage: 'started',
        failure: null,
        card: null,
        processingUntil: null,
        capturedAmount: 0,
        refunds: [],
        refusals: 0,
        createdAt: mongoClock.now(),
      });
      return reportOf(record);
    },

    read: async (payment) => reportOf(await find(payment)),
    capture: (payment) =>
      change(payment, ['authorised', 'captured'], {
        stage: 'captured',
        capturedAmount: payment.price.amount,
      }),
    void: (payment) =>
      change(payment, ['started', 'failed', 'authorised', 'voided'], {
        stage: 'voided',
        processingUntil: null,
      }),

    async refund(payment, { refundId, amount }) {
      const record = await find(payment);
      if ((behaviourOf(record).refundRefusals ?? 0) > record.refusals) {
        await ledger.updateOne({ _id: record._id }, { $inc: { refusals: 1 } });
        throw new PaymentFault('refused', 'the balance is too low');
      }
      const refund = { refundId, amount };
      await makeRefund(record, refund);
      const after = await find(payment);
      if (!after.refunds.some((made) => made.refundId === refundId))
        throw new PaymentFault('refused', 'that is more than is left of the payment');
      send(after);
      return refundOf(refund);
    },

    async *listSince(since) {
      for await (const record of ledger.find({ createdAt: { $gte: since } })) yield reportOf(record);
    },

    verifyWebhook(rawBody, header) {
      const signature = header(simulatedSignatureHeader) ?? '';
      const body = rawBody.toString();
      const isSigned = webhookSecrets.some((secret) => verify(secret, signature, body));
      return isSigned ? (JSON.parse(body) as WebhookMessage) : null;
    },

    async confirm(clientSecret, card, fingerprint) {
      const { refusal, isDirect, processingMs, slowMs = 0 }: Behaviour = cards[card];
      await pause(latencyMs + slowMs);
      const now = mongoClock.now();
      const found = await ledger.findOne({ clientSecret });
      if (!found) return null;
      const stage = refusal ? 'failed' : isDirect ? 'captured' : processingMs ? found.stage : 'authorised';
      const fields = {
        card,
        ...(fingerprint !== undefined && { fingerprint }),
        stage,
        failure: refusal ?? null,
        processingUntil: processingMs ? new Date(now.getTime() + processingMs) : null,
        capturedAmount: stage === 'captured' ? found.amount : 0,
      };
      const open = {
        _id: found._id,
        stage: { $in: ['started' as const, 'failed' as const] },
        processingUntil: null,
      };
      const confirmed = await ledger.findOneAndUpdate(open, { $set: fields }, { returnDocument: 'after' });
      // A second tab or a repeated request finds what the first one did.
      if (!confirmed) return reportOf(found);
      send(confirmed);
      if (processingMs) setTimeout(() => void finishLater(confirmed), processingMs).unref();
      return reportOf(confirmed);
    },

    async happen(providerId, incident) {
      const changed = await happened(providerId, incident);
      if (changed) send(changed);
    },
  };

  async function finishLater({ _id }: SimulatedPaymentRecord): Promise<void> {
    const record = await ledger.findOne({ _id }).catch(() => null);
    if (record) send(await finishProcessing(record));
  }
}

type Ledger = Collections['simulatedPayments'];

async function readAll(ledger: Ledger, ids: string[]): Promise<(SimulatedPaymentRecord | null)[]> {
  const records = await ledger.find({ _id: { $in: ids } }).toArray();
  const byId = new Map(records.map((record) => [record._id, record]));
  return ids.map((id) => byId.get(id) ?? null);
}

/** @returns each payment afterwards; null when it was in none of the stages. */
async function changeAll(
  ledger: Ledger,
  changes: LedgerChange[],
): Promise<(SimulatedPaymentRecord | null)[]> {
  await ledger.bulkWrite(
    changes.map(({ _id, stages, fields }) => ({
      updateOne: { filter: { _id, stage: { $in: stages } }, update: { $set: fields } },
    })),
  );
  const after = await readAll(
    ledger,
    changes.map(({ _id }) => _id),
  );
  return after.map((record, n) => (record?.stage === changes[n]?.fields.stage ? record : null));
}

function reportOf(record: SimulatedPaymentRecord, { withSecret = true } = {}): PaymentReport {
  const { _id: providerId, paymentId, clientSecret, amount, currency, refunds, fingerprint } = record;
  return {
    paymentId,
    providerId,
    stage: record.stage,
    isProcessing: record.processingUntil !== null,
    price: { amount, currency },
    capturedAmount: record.capturedAmount,
    refundedAmount: refunds.reduce((sum, refund) => sum + refund.amount, 0),
    failure: record.failure,
    ...(fingerprint !== undefined && { fingerprint }),
    ...(withSecret && { handover: { clientSecret } }),
    refunds: refunds.map(refundOf),
  };
}

const refundOf = ({ refundId, amount }: SimulatedPaymentRecord['refunds'][number]) =>
  ({ refundId, providerId: `sim_${refundId}`, amount, stage: 'succeeded' }) as const;

/** The scheme of Stripe's signatures: the time is signed with the body, so that an old webhook cannot be sent again. */
function sign(secret: string, at: Date, body: string): string {
  return `t=${at.getTime()},v1=${macOf(secret, at.getTime(), body).toString('hex')}`;
}

const macOf = (secret: string, atMs: number, body: string) =>
  createHmac('sha256', secret).update(`${atMs}.${body}`).digest();

function verify(secret: string, signature: string, body: string): boolean {
  const [, at = '', mac = ''] = /^t=(\d{1,15}),v1=([0-9a-f]{64})$/.exec(signature) ?? [];
  const isRecent = Math.abs(mongoClock.now().getTime() - Number(at)) <= toleranceMs;
  return isRecent && mac !== '' && timingSafeEqual(macOf(secret, Number(at), body), Buffer.from(mac, 'hex'));
}
