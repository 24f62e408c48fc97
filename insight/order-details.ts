import { addressOf } from '../accounts/user.ts';
import { documentsOf, eventsOf } from '../log/events.ts';
import type { Change, CloudEvent } from '../log/schemas.ts';
import { isOverTime } from '../runtime/databases/connections.ts';
import type { Gate } from '../sale/admission/gate.ts';
import { queuedOrderOf } from '../sale/order.ts';
import { refundableOf } from '../sale/payment/payment.ts';
import { readSaleSnapshot } from '../sale/sale.ts';
import type { Collections, EventRecord, OrderRecord } from '../store/collections.ts';
import type { PaymentRecord } from '../store/payment-collections.ts';
import { mailTypes } from '../subscribers/mail/notifications.ts';
import type {
  AdminOrder,
  OrderDelivery,
  OrderDetails,
  OrderMail,
  OrderPayment,
  OrderStep,
  Suspicion,
} from './contract.ts';
import { noteOf } from './order-notes.ts';
import { adminOrdersOf } from './order-search.ts';
import { suspicionOf } from './suspects.ts';

/** Reading a large sale's log for one order is given up after this time. */
const logMaxMs = 3_000;
/** An order has one document for each of its steps: at most four, and one for each refund. */
const stepsMax = 100;
/** The servers' clocks may differ by this much. */
const clocksApartMs = 60_000;

/** Everything that the desk shows of an order. @returns null when there is no such order. */
export async function readOrderDetails(
  collections: Collections,
  gate: Gate,
  orderId: string,
): Promise<OrderDetails | null> {
  const record = await collections.orders.findOne({ _id: orderId });
  if (!record) return await queuedDetails(collections, gate, orderId);
  const documents = await findDocuments(collections, record);
  const events = (documents ?? []).flatMap(eventsOf).filter(({ subject }) => subject === orderId);
  const [[order], sale, mails, deliveries, notes, suspicion, payments] = await Promise.all([
    adminOrdersOf(collections, [record]),
    readSaleSnapshot(collections, record.saleId),
    findMails(collections, events),
    findDeliveries(collections, events),
    collections.orderNotes.findOne({ _id: orderId }),
    findSuspicion(collections, orderId),
    collections.payments.find({ orderId }).sort({ createdAt: 1 }).toArray(),
  ]);
  return {
    order: order as AdminOrder,
    keptBack: record.keptBack === true,
    sale,
    steps: (documents ?? []).flatMap((document) => stepsOf(document, orderId)),
    ...(documents === null && { stepsOmitted: true as const }),
    mails,
    deliveries,
    notes: (notes?.notes ?? []).map(noteOf),
    suspicion,
    payments: payments.map(paymentOf),
  };
}

/** The event of an order's last step that buyers get a mail about; null when it was not found in time. */
export async function findMailedEvent(
  collections: Collections,
  order: OrderRecord,
): Promise<CloudEvent | null> {
  const events = (await findDocuments(collections, order))?.flatMap(eventsOf) ?? [];
  return events.findLast(({ subject, type }) => subject === order._id && mailTypes.includes(type)) ?? null;
}

async function queuedDetails(
  collections: Collections,
  gate: Gate,
  orderId: string,
): Promise<OrderDetails | null> {
  const found = await gate.findPurchase(orderId);
  if (!found) return null;
  const { purchase } = found;
  const user = await collections.users.findOne({ _id: purchase.buyerId });
  const buyer = { buyerId: purchase.buyerId, email: user && addressOf(user), name: user?.name ?? null };
  return {
    order: { ...queuedOrderOf(purchase), ...buyer },
    keptBack: false,
    sale: await readSaleSnapshot(collections, purchase.saleId),
    ...{ steps: [], mails: [], deliveries: [], notes: [], suspicion: null, payments: [] },
  };
}

/**
 * The log documents that name an order. There is no index for that, which would slow down every settlement: the sale's
 * documents from the order's time on are searched.
 * @returns null when that took too long.
 */
async function findDocuments(
  { events }: Collections,
  { _id: orderId, saleId, createdAt }: OrderRecord,
): Promise<EventRecord[] | null> {
  const from = new Date(createdAt.getTime() - clocksApartMs);
  try {
    return await events
      .find({
        ...documentsOf(saleId),
        at: { $gte: from },
        'changes.orderId': orderId,
      })
      .sort({ _id: 1 })
      .limit(stepsMax)
      .maxTimeMS(logMaxMs)
      .toArray();
  } catch (error) {
    if (isOverTime(error)) return null;
    throw error;
  }
}

function stepsOf({ at, changes }: EventRecord, orderId: string): OrderStep[] {
  return changes.flatMap((change) =>
    'orderId' in change && change.orderId === orderId
      ? [{ at: at.toISOString(), type: change.type, ...whyOf(change) }]
      : [],
  );
}

function whyOf(change: Change): Omit<OrderStep, 'at' | 'type'> {
  if (change.type === 'order.rejected') return { reason: change.reason, cancelledBy: null, keptBack: false };
  if (change.type === 'order.refunded' || change.type === 'order.refund_failed') {
    const { refundReason = null, isWhole = false } = change.type === 'order.refunded' ? change : {};
    return { reason: refundReason, cancelledBy: null, keptBack: isWhole, amount: change.refundAmount };
  }
  if (change.type !== 'order.cancelled') return { reason: null, cancelledBy: null, keptBack: false };
  const { cancelReason = null, cancelledBy = null, keptBack = false } = change;
  return { reason: cancelReason, cancelledBy, keptBack };
}

function paymentOf(payment: PaymentRecord): OrderPayment {
  const { _id: id, provider, providerId, state, amount, currency, capturedAmount, error } = payment;
  return {
    ...{ id, provider, providerId, state, amount, currency, capturedAmount },
    refundableAmount: refundableOf(payment),
    refunds: payment.refunds.map(({ id, amount, reason, state, error, requestedAt }) => {
      return { id, amount, reason, state, error, requestedAt: requestedAt.toISOString() };
    }),
    createdAt: payment.createdAt.toISOString(),
    authorisedAt: payment.authorisedAt?.toISOString() ?? null,
    capturedAt: payment.capturedAt?.toISOString() ?? null,
    error,
  };
}

async function findMails({ mails }: Collections, events: CloudEvent[]): Promise<OrderMail[]> {
  const mailed = events.filter(({ type }) => mailTypes.includes(type));
  const found = await mails.find({ _id: { $in: mailed.map(({ id }) => id) } }).toArray();
  const mailById = new Map(found.map((mail) => [mail._id, mail]));
  return mailed.map(({ id: eventId, type }) => {
    const mail = mailById.get(eventId);
    return {
      eventId,
      type,
      state: mail ? (mail.state ?? (mail.sentAt ? 'sent' : 'waiting')) : 'none',
      attempts: mail?.attempts ?? 0,
      at: (mail?.sentAt ?? mail?.dueAt)?.toISOString() ?? null,
      answer: mail?.answer ?? null,
    };
  });
}

/** The deliveries of an order's events to webhooks, which are few: see subscribers/webhooks/endpoints.ts. */
async function findDeliveries(
  { webhooks, deliveries }: Collections,
  events: CloudEvent[],
): Promise<OrderDelivery[]> {
  const endpoints = await webhooks.find({}, { projection: { url: 1 } }).toArray();
  const urls = new Map(endpoints.map(({ _id, url }) => [_id, url]));
  const ids = endpoints.flatMap(({ _id }) => events.map(({ id }) => `${_id}:${id}`));
  const found = ids.length > 0 ? await deliveries.find({ _id: { $in: ids } }).toArray() : [];
  return found.map(({ webhookId, event, state, attempts, dueAt, status, error }) => ({
    webhookId,
    url: urls.get(webhookId) ?? '',
    eventId: event.id,
    type: event.type,
    ...{ state, attempts, status, error },
    dueAt: dueAt.toISOString(),
  }));
}

async function findSuspicion({ suspects }: Collections, orderId: string): Promise<Suspicion | null> {
  const mark = await suspects.findOne({ _id: orderId });
  return mark && suspicionOf(mark);
}
