import { createHash } from 'node:crypto';
import { trusted } from 'mongoose';
import type { SendMailOptions } from 'nodemailer';
import { type CloudEvent, type EventData, readData } from '../../log/schemas.ts';
import type { BusEvent, Subscription } from '../../messages/bus.ts';
import { mongoClock } from '../../runtime/clock.ts';
import {
  type Collections,
  driverOf,
  type ProductRecord,
  type SaleRecord,
  type UserRecord,
} from '../../store/collections.ts';
import { mailTextOf } from './texts.ts';

/**
 * How an order ended. `inventory.reserved` is not among them although a mail could say it: it is written in the same
 * transaction as `order.paid`, about the same units, and a buyer wants one mail about one thing.
 */
const kinds = { 'order.paid': 'paid', 'order.rejected': 'rejected', 'order.cancelled': 'cancelled' } as const;
type Type = keyof typeof kinds;

/** Older news than that helps no one: not what a new installation finds in its log. */
const maxAgeMs = 3 * 86_400_000;

/** Writes down which event becomes a mail, and no more: mail-sender.ts sends each in its own time. */
export function notifications({ mails }: Collections): Subscription {
  return {
    name: 'notifications',
    types: Object.keys(kinds),
    maxBatch: 1_000,
    async handle(events) {
      const now = mongoClock.now();
      const writes = events.filter(isNews).flatMap((event) => {
        // What could never become a mail is a dead letter.
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
          // One that is there already was written at an earlier handling.
          {
            updateOne: {
              filter: { _id: event.id },
              update: { $setOnInsert: { ...due, createdAt: now } },
              upsert: true,
            },
          },
          // Or by a version that sent it in the handler, and died in the middle of that.
          { updateOne: { filter: unsent, update: { $set: due } } },
        ];
      });
      if (writes.length > 0) await driverOf(mails).bulkWrite(writes, { ordered: false });
    },
  };
}

const isNews = ({ time }: BusEvent) => Date.parse(time) > mongoClock.now().getTime() - maxAgeMs;

interface Mail {
  event: CloudEvent;
  type: Type;
  data: EventData<Type>;
}

/** @returns by its event's id what is sent; a mail is missing whose buyer has no account any more, or never had one. */
export async function writeMails(
  collections: Collections,
  events: CloudEvent[],
  { from, shopUrl }: { from: string; shopUrl: string },
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
      return user && sale ? [[mail.event.id, write(mail, user, sale, { from, shopUrl })] as const] : [];
    }),
  );
}

async function findBuyers({ users }: Collections, mails: Mail[]) {
  const ids = [...new Set(mails.map(({ data }) => data.buyerId))];
  const found = await users.find({ _id: trusted({ $in: ids }) }, 'email').lean<UserRecord[]>();
  return new Map(found.map((user) => [user._id, user]));
}

type NamedSale = Pick<SaleRecord, '_id' | 'price'> & { productName: string };

async function findSales({ sales, products }: Collections, mails: Mail[]): Promise<Map<string, NamedSale>> {
  const ids = [...new Set(mails.map(({ data }) => data.saleId))];
  const found = await sales.find({ _id: trusted({ $in: ids }) }, 'price productId').lean<SaleRecord[]>();
  const productIds = found.map(({ productId }) => productId);
  const named = await products
    .find({ _id: trusted({ $in: productIds }) }, 'name')
    .lean<Pick<ProductRecord, '_id' | 'name'>[]>();
  const names = new Map(named.map(({ _id, name }) => [_id, name]));
  return new Map(found.map((sale) => [sale._id, { ...sale, productName: names.get(sale.productId) ?? '' }]));
}

function write(
  { event, type, data }: Mail,
  user: Pick<UserRecord, 'email'>,
  sale: NamedSale,
  { from, shopUrl }: { from: string; shopUrl: string },
): SendMailOptions {
  const text = mailTextOf({
    kind: kinds[type],
    productName: sale.productName,
    quantity: data.quantity,
    price: sale.price,
    orderId: data.orderId,
    ...('reason' in data && { reason: data.reason }),
    shopUrl,
  });
  return {
    from,
    to: user.email,
    ...text,
    messageId: messageIdOf(event.id, from),
    headers: { 'Auto-Submitted': 'auto-generated' },
  };
}

function messageIdOf(eventId: string, from: string): string {
  const host = /@([\w.-]+)/.exec(from)?.[1] ?? 'localhost';
  return `<${createHash('sha256').update(eventId).digest('hex').slice(0, 32)}@${host}>`;
}
