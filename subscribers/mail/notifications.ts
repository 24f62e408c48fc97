import type { SendMailOptions } from 'nodemailer';
import { addressOf } from '../../accounts/user.ts';
import { type CloudEvent, type EventData, readData } from '../../log/schemas.ts';
import type { BusEvent, Subscription } from '../../messages/bus.ts';
import { moneyIn } from '../../public/shared/money.js';
import { mongoClock } from '../../runtime/clock.ts';
import type { Language, Money, RejectionReason } from '../../sale/contract.ts';
import type { Collections, SaleRecord } from '../../store/collections.ts';
import { layOut, type Shop, textsIn } from './layout.ts';
import type { MailTexts } from './texts/en.ts';

/**
 * The events that become a mail. `inventory.reserved` is not among them, because it happens in the same transaction as
 * `order.paid`, and a buyer should get one mail about an order.
 */
const kinds = { 'order.paid': 'paid', 'order.rejected': 'rejected', 'order.cancelled': 'cancelled' } as const;
type Type = keyof typeof kinds;
/** The types of these events. */
export const mailTypes: readonly string[] = Object.keys(kinds);

/** Older events send no mail, so that enabling mails on an existing log does not mail about old orders. */
const maxAgeMs = 3 * 86_400_000;

/** Stores each mail as a record to be sent by sender.ts, so that a slow mail server does not delay the bus. */
export function notifications({ mails }: Collections): Subscription {
  return {
    name: 'notifications',
    types: [...mailTypes],
    maxBatch: 1_000,
    async handle(events) {
      const now = mongoClock.now();
      const writes = events.filter(isRecent).flatMap((event) => {
        // Throws for invalid data, which makes the event a dead letter.
        readData(event, event.type as Type);
        const due = {
          state: 'waiting' as const,
          event: event as CloudEvent,
          attempts: 0,
          unanswered: 0,
          dueAt: now,
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

const isRecent = ({ time }: BusEvent) => Date.parse(time) > mongoClock.now().getTime() - maxAgeMs;

interface Mail {
  event: CloudEvent;
  type: Type;
  data: EventData<Type>;
}

/** @returns the mails by event id; a buyer without an account or an address gets none. */
export async function writeOrderMails(
  collections: Collections,
  events: CloudEvent[],
  shop: Shop,
): Promise<Map<string, SendMailOptions>> {
  const mails = events.map((event): Mail => {
    const type = event.type as Type;
    return { event, type, data: readData(event, type) };
  });
  const [users, sales] = await Promise.all([findBuyers(collections, mails), findSales(collections, mails)]);
  return new Map(
    mails.flatMap((mail) => {
      const user = users.get(mail.data.buyerId);
      const sale = sales.get(mail.data.saleId);
      const to = user && addressOf(user);
      return to && sale ? [[mail.event.id, write(mail, to, user.language, sale, shop)] as const] : [];
    }),
  );
}

async function findBuyers({ users }: Collections, mails: Mail[]) {
  const ids = [...new Set(mails.map(({ data }) => data.buyerId))];
  const projection = { email: 1, providerEmail: 1, language: 1 };
  const found = await users.find({ _id: { $in: ids } }, { projection }).toArray();
  return new Map(found.map((user) => [user._id, user]));
}

type NamedSale = Pick<SaleRecord, '_id' | 'price'> & { productName: string };

async function findSales({ sales, products }: Collections, mails: Mail[]): Promise<Map<string, NamedSale>> {
  const ids = [...new Set(mails.map(({ data }) => data.saleId))];
  const found = await sales.find({ _id: { $in: ids } }, { projection: { price: 1, productId: 1 } }).toArray();
  const productIds = found.map(({ productId }) => productId);
  const named = await products.find({ _id: { $in: productIds } }, { projection: { name: 1 } }).toArray();
  const names = new Map(named.map(({ _id, name }) => [_id, name]));
  return new Map(found.map((sale) => [sale._id, { ...sale, productName: names.get(sale.productId) ?? '' }]));
}

function write(
  { event, type, data }: Mail,
  to: string,
  language: Language | undefined,
  sale: NamedSale,
  shop: Shop,
): SendMailOptions {
  const texts = textsIn(language);
  const { quantity, orderId } = data;
  const { productName, price } = sale;
  const news = {
    kind: kinds[type],
    quantity,
    productName,
    price,
    ...('reason' in data && { reason: data.reason }),
    ...('cancelReason' in data && { cancelReason: data.cancelReason }),
  };
  const link = { url: `${shop.url}/orders`, label: texts.yourOrders };
  const notes = [texts.orderNumber(shortNumberOf(orderId))];
  return layOut(event.id, { to, ...orderMailOf(news, texts), link, notes }, texts, shop);
}

/** What has happened to an order. */
interface OrderNews {
  kind: (typeof kinds)[Type];
  quantity: number;
  productName: string;
  price: Money;
  /** Of a rejected order. */
  reason?: RejectionReason;
  /** Of an order that the shop cancelled. */
  cancelReason?: string;
}

export function orderMailOf(
  { kind, quantity, productName, price, reason = 'failed', cancelReason }: OrderNews,
  texts: MailTexts,
): { subject: string; paragraphs: string[] } {
  const what = `${quantity} × ${productName}`;
  const total = price.amount === 0 ? null : moneyIn(texts.language, price, quantity);
  switch (kind) {
    case 'paid': {
      const { subject, text, textFor } = texts.paid;
      return { subject: subject(what), paragraphs: [total === null ? text(what) : textFor(what, total)] };
    }
    case 'rejected': {
      const { subject, text, why, notCharged } = texts.rejected;
      return {
        subject: subject(productName),
        paragraphs: [text(what), `${why(reason, quantity, null)} ${notCharged}`],
      };
    }
    case 'cancelled': {
      const { subject, refund } = texts.cancelled;
      const why = whyCancelled(what, cancelReason, texts);
      return { subject: subject(what), paragraphs: [...why, ...(total === null ? [] : [refund(total)])] };
    }
  }
}

function whyCancelled(what: string, reason: string | undefined, { cancelled }: MailTexts): string[] {
  if (reason === undefined) return [cancelled.byBuyer(what)];
  if (reason === 'called_off') return [cancelled.calledOff(what)];
  return [cancelled.byStaff(what), cancelled.reason(reason)];
}

/** The number that the pages show. */
const shortNumberOf = (orderId: string) => orderId.slice(-8);
