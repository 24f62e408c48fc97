import type { SendMailOptions } from 'nodemailer';
import { addressOf } from '../../accounts/user.ts';
import { type CloudEvent, type EventData, type EventType, readData } from '../../log/schemas.ts';
import type { BusEvent, Subscription } from '../../messages/bus.ts';
import { shortNumberOf } from '../../public/shared/items.js';
import { moneyIn } from '../../public/shared/money.js';
import { mongoClock } from '../../runtime/clock.ts';
import type { Language, RejectionReason } from '../../sale/contract.ts';
import { firstItemId, itemRecordsOf } from '../../sale/items.ts';
import { isRehearsal } from '../../sale/rehearsal.ts';
import type { Collections, ItemRecord, OrderRecord, SaleRecord } from '../../store/collections.ts';
import { drawMailTypes, storeDrawMails } from './draw-mails.ts';
import { layOut, type Shop, textsIn } from './layout.ts';
import type { MailTexts } from './texts/en.ts';

/**
 * The events that become a mail. `inventory.reserved` is not among them, because it happens in the same transaction as
 * `order.paid`, and a buyer should get one mail about an order.
 */
const kinds = {
  'order.held': 'held',
  'order.paid': 'paid',
  'order.rejected': 'rejected',
  'order.cancelled': 'cancelled',
  'order.expired': 'expired',
  'order.refunded': 'refunded',
} as const;
type Type = keyof typeof kinds;
/** The types of these events. */
export const mailTypes: readonly string[] = Object.keys(kinds);

/** Older events send no mail, so that enabling mails on an existing log does not mail about old orders. */
const maxAgeMs = 3 * 86_400_000;

/**
 * The mail about a hold waits this long, or a quarter of the hold where that is less, because most buyers pay at once, and who
 * has paid gets no mail about the hold.
 */
const holdMailMs = 60_000;

/** @param offered the orders that were offered to people who waited for them, and who may be doing something else. */
function dueAtOf({ type, time, data }: BusEvent, offered: ReadonlySet<string>, now: Date): Date {
  if (type !== 'order.held' || offered.has((data as EventData<Type>).orderId)) return now;
  const heldAtMs = Date.parse(time);
  const { holdExpiresAt } = data as EventData<'order.held'>;
  const windowMs = Date.parse(holdExpiresAt) - heldAtMs;
  return new Date(Math.max(now.getTime(), heldAtMs + Math.min(holdMailMs, windowMs / 4)));
}

/** Stores each mail as a record to be sent by sender.ts, so that a slow mail server does not delay the bus. */
export function notifications(collections: Collections): Subscription {
  const { mails } = collections;
  return {
    name: 'notifications',
    types: [...mailTypes, ...drawMailTypes],
    maxBatch: 1_000,
    async handle(events) {
      const now = mongoClock.now();
      const recent = events.filter((event) => isRecent(event) && !isRehearsal(event.id));
      // Throws for invalid data, which makes the event a dead letter.
      for (const event of recent) readData(event, event.type as EventType);
      const [ofDraws, ofOrders] = [recent.filter(isOfDraw), recent.filter((event) => !isOfDraw(event))];
      for (const event of ofDraws) await storeDrawMails(collections, event as CloudEvent, now);
      const offered = await findOffered(
        collections,
        ofOrders.map(({ data }) => data as EventData<Type>),
      );
      const writes = ofOrders.flatMap((event) => {
        const due = {
          state: 'waiting' as const,
          event: event as CloudEvent,
          attempts: 0,
          unanswered: 0,
          dueAt: dueAtOf(event, offered, now),
          answer: null,
        };
        const unsent = { _id: event.id, state: { $exists: false }, sentAt: { $exists: false } };
        return [
          // An existing record was stored when the event was delivered before, and is left alone.
          {
            updateOne: {
              filter: { _id: event.id },
              update: { $setOnInsert: { ...due, createdAt: now } },
              upsert: true,
            },
          },
          // A record without a state was left by an old version that sent mails in the handler and died meanwhile.
          { updateOne: { filter: unsent, update: { $set: due } } },
        ];
      });
      if (writes.length > 0) await mails.bulkWrite(writes, { ordered: false });
    },
  };
}

const isOfDraw = ({ type }: BusEvent) => (drawMailTypes as readonly string[]).includes(type);

/** Which of these orders were offered to a person who had a place. */
async function findOffered(
  { places }: Collections,
  asked: Pick<EventData<Type>, 'orderId' | 'buyerId'>[],
): Promise<ReadonlySet<string>> {
  if (asked.length === 0) return new Set();
  const ofBuyers = { buyerId: { $in: [...new Set(asked.map(({ buyerId }) => buyerId))] } };
  const found = await places
    .find(
      { ...ofBuyers, orderId: { $in: asked.map(({ orderId }) => orderId) } },
      { projection: { orderId: 1 } },
    )
    .toArray();
  return new Set(found.flatMap(({ orderId }) => orderId ?? []));
}

const isRecent = ({ time }: BusEvent) => Date.parse(time) > mongoClock.now().getTime() - maxAgeMs;

interface Mail {
  event: CloudEvent;
  type: Type;
  data: EventData<Type>;
}

/** @returns the mails by event id; there is none for a buyer without an account or an address, or about a hold that is over. */
export async function writeOrderMails(
  collections: Collections,
  events: CloudEvent[],
  shop: Shop,
): Promise<Map<string, SendMailOptions>> {
  const mails = events.map((event): Mail => {
    const type = event.type as Type;
    return { event, type, data: readData(event, type) };
  });
  const heldOnes = mails.filter(({ type }) => type === 'order.held').map(({ data }) => data);
  const [users, sales, known, offered] = await Promise.all([
    findBuyers(collections, mails),
    findSales(collections, mails),
    findOrders(collections, mails),
    findOffered(collections, heldOnes),
  ]);
  return new Map(
    mails.flatMap((mail) => {
      const user = users.get(mail.data.buyerId);
      const sale = sales.get(mail.data.saleId);
      const to = user && addressOf(user);
      const order = known.get(mail.data.orderId);
      const isOver = mail.type === 'order.held' && order?.status !== 'held';
      return to && sale && !isOver
        ? [
            [
              mail.event.id,
              write(
                mail,
                to,
                user.language,
                { sale, order, isOffered: offered.has(mail.data.orderId) },
                shop,
              ),
            ] as const,
          ]
        : [];
    }),
  );
}

async function findBuyers({ users }: Collections, mails: Mail[]) {
  const ids = [...new Set(mails.map(({ data }) => data.buyerId))];
  const projection = { email: 1, providerEmail: 1, language: 1 };
  const found = await users.find({ _id: { $in: ids } }, { projection }).toArray();
  return new Map(found.map((user) => [user._id, user]));
}

type KnownOrder = Pick<OrderRecord, 'status' | 'paymentId' | 'holdExpiresAt'>;

/** The orders whose mails say more than their event, by id. */
async function findOrders({ orders }: Collections, mails: Mail[]): Promise<Map<string, KnownOrder>> {
  const isAsked = ({ type }: Mail) => type === 'order.cancelled' || type === 'order.held';
  const ids = mails.filter(isAsked).map(({ data }) => data.orderId);
  if (ids.length === 0) return new Map();
  const projection = { status: 1, paymentId: 1, holdExpiresAt: 1 };
  const found = await orders.find({ _id: { $in: ids } }, { projection }).toArray();
  return new Map(found.map((order) => [order._id, order]));
}

type NamedSale = Pick<SaleRecord, 'price' | 'language'> & {
  /** What an item is called, by its id. */
  itemNames: Map<string, string>;
};

async function findSales({ sales, products }: Collections, mails: Mail[]): Promise<Map<string, NamedSale>> {
  const ids = [...new Set(mails.map(({ data }) => data.saleId))];
  const found = await sales.find({ _id: { $in: ids } }).toArray();
  const productIds = found.flatMap((sale) => itemRecordsOf(sale).map(({ productId }) => productId));
  const named = await products.find({ _id: { $in: productIds } }, { projection: { name: 1 } }).toArray();
  const names = new Map(named.map(({ _id, name }) => [_id, name]));
  const nameOf = ({ productId, label }: ItemRecord) =>
    [names.get(productId) ?? '', label].filter(Boolean).join(', ');
  return new Map(
    found.map(({ _id, price, language, ...sale }) => {
      const items = itemRecordsOf({ ...sale, price });
      const itemNames = new Map(items.map((item) => [item.id, nameOf(item)]));
      return [_id, { price, itemNames, ...(language && { language }) }];
    }),
  );
}

function write(
  { event, type, data }: Mail,
  to: string,
  language: Language | undefined,
  { sale, order, isOffered }: { sale: NamedSale; order: KnownOrder | undefined; isOffered: boolean },
  shop: Shop,
): SendMailOptions {
  const texts = textsIn(language ?? sale.language);
  const { price } = sale;
  const nameOf = (itemId: string) => sale.itemNames.get(itemId) ?? '';
  const lines = data.lines ?? [
    { itemId: firstItemId, quantity: data.quantity, amount: data.amount ?? price.amount * data.quantity },
  ];
  const news = {
    kind: isOffered && type === 'order.held' ? ('turn' as const) : kinds[type],
    lines: lines.map(({ itemId, quantity, amount }) => ({ name: nameOf(itemId), quantity, amount })),
    currency: data.currency ?? price.currency,
    ...('reason' in data && { reason: data.reason, left: data.left }),
    ...('cancelReason' in data && { cancelReason: data.cancelReason }),
    ...moneyOf(data, order),
    ...(data.refundedAmount !== undefined && { refundedAmount: data.refundedAmount }),
    ...('refundAmount' in data && { refundAmount: data.refundAmount, isWhole: 'isWhole' in data }),
    ...('refundReason' in data && { refundReason: data.refundReason }),
    ...(order?.holdExpiresAt && { payUntil: timeIn(texts.language, shop.timeZone, order.holdExpiresAt) }),
  };
  const link =
    news.kind === 'turn'
      ? { url: `${shop.url}/orders/${data.orderId}`, label: texts.turn.pay }
      : { url: `${shop.url}/orders`, label: texts.yourOrders };
  const notes = [texts.orderNumber(shortNumberOf(data.orderId))];
  return layOut(event.id, { to, ...orderMailOf(news, texts), link, notes }, texts, shop);
}

/** What becomes of the money of a cancelled order: nothing is known of a payment that was made elsewhere. */
function moneyOf(data: EventData<Type>, order: KnownOrder | undefined): Pick<OrderNews, 'money'> {
  const isLost = 'cancelReason' in data && data.cancelReason === 'payment_lost';
  if ('unpaid' in data || isLost) return { money: 'not_charged' };
  return order?.paymentId ? { money: 'goes_back' } : {};
}

const timeIn = (language: string, timeZone: string, time: Date) =>
  new Intl.DateTimeFormat(language, {
    ...({ weekday: 'long', day: 'numeric', month: 'long', hour: 'numeric', minute: '2-digit' } as const),
    ...({ timeZoneName: 'short', timeZone } as const),
  }).format(time);

/** What has happened to an order. */
interface OrderNews {
  kind: (typeof kinds)[Type] | 'turn';
  /** At least one; amounts in minor units. */
  lines: { name: string; quantity: number; amount: number }[];
  currency: string;
  /** Of a rejected order. */
  reason?: RejectionReason;
  /** Units that were left when it was rejected as sold out, where that is known. */
  left?: number | undefined;
  /** Of an order that the shop cancelled. */
  cancelReason?: string;
  /** What became of the money of a cancelled order. Absent when its payment is made elsewhere, and not known here. */
  money?: 'goes_back' | 'not_charged';
  /** What was refunded in all, of which `refundAmount` goes back now. */
  refundedAmount?: number;
  refundAmount?: number;
  /** Whether the order ends with the refund. */
  isWhole?: boolean;
  refundReason?: string | undefined;
  /** Until when a held order has to be paid, in words. */
  payUntil?: string;
}

/** Lines that are named in a subject. */
const namedMax = 2;

export function orderMailOf(
  { kind, lines, currency, reason = 'failed', left, cancelReason, money, ...news }: OrderNews,
  texts: MailTexts,
): { subject: string; paragraphs: string[] } {
  const listed = (texts: string[], max: number) =>
    texts.slice(0, max).join(', ') + (texts.length > max ? ', …' : '');
  const units = lines.map(({ name, quantity }) => `${quantity} × ${name}`);
  const [what, inShort] = [listed(units, units.length), listed(units, namedMax)];
  const inMoney = (amount: number) => moneyIn(texts.language, { amount, currency });
  const amount = lines.reduce((sum, line) => sum + line.amount, 0);
  const total = amount === 0 ? null : inMoney(amount);
  const prices =
    total === null || lines.length === 1
      ? []
      : lines.map((line, n) => `${units[n]}: ${inMoney(line.amount)}`);
  switch (kind) {
    case 'turn':
    case 'held': {
      const { subject, text } = texts[kind];
      const first = text(what, total ?? inMoney(0), news.payUntil ?? '');
      return { subject: subject(inShort), paragraphs: [first, ...prices] };
    }
    case 'expired': {
      const { subject, text, money } = texts.expired;
      return { subject: subject(inShort), paragraphs: [text(what), money] };
    }
    case 'refunded': {
      const { subject, part, whole } = texts.refunded;
      const { refundAmount = 0, refundReason, isWhole } = news;
      const paragraphs = [(isWhole ? whole : part)(what, inMoney(refundAmount))];
      if (refundReason) paragraphs.push(texts.cancelled.reason(refundReason));
      return { subject: subject(inMoney(refundAmount), inShort), paragraphs };
    }
    case 'paid': {
      const { subject, text, textFor } = texts.paid;
      const first = total === null ? text(what) : textFor(what, total);
      return { subject: subject(inShort), paragraphs: [first, ...prices] };
    }
    case 'rejected': {
      const { subject, text, why } = texts.rejected;
      const names = [...new Set(lines.map(({ name }) => name))];
      const asked = lines.reduce((sum, { quantity }) => sum + quantity, 0);
      return {
        subject: subject(listed(names, namedMax)),
        paragraphs: [text(what), `${why(reason, asked, left ?? null)} ${texts.notCharged}`],
      };
    }
    case 'cancelled': {
      const { subject, refund } = texts.cancelled;
      const paragraphs = whyCancelled(what, cancelReason, texts);
      const left = amount - (news.refundedAmount ?? 0);
      if (money === 'goes_back' && left > 0) paragraphs.push(refund(inMoney(left)));
      if (money === 'not_charged') paragraphs.push(texts.notCharged);
      return { subject: subject(inShort), paragraphs };
    }
  }
}

function whyCancelled(what: string, reason: string | undefined, { cancelled }: MailTexts): string[] {
  if (reason === undefined) return [cancelled.byBuyer(what)];
  if (reason === 'called_off') return [cancelled.calledOff(what)];
  if (reason === 'payment_lost') return [cancelled.paymentLost(what)];
  return [cancelled.byStaff(what), cancelled.reason(reason)];
}
