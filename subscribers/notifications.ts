import { createHash } from 'node:crypto';
import { trusted } from 'mongoose';
import type { Transporter } from 'nodemailer';
import type { BusEvent, Subscription } from '../messages/bus.ts';
import type { Collections, ProductRecord, SaleRecord, UserRecord } from '../sale/collections.ts';
import type { MailRecord } from '../sale/event-collections.ts';
import { type EventData, readData } from '../sale/event-schemas.ts';
import { mailTextOf } from './mail-texts.ts';

/**
 * How an order ended. `inventory.reserved` is not among them although a mail could say it: it is written in the same
 * transaction as `order.paid`, about the same units, and a buyer wants one mail about one thing.
 */
const kinds = { 'order.paid': 'paid', 'order.rejected': 'rejected', 'order.cancelled': 'cancelled' } as const;
type Type = keyof typeof kinds;

export interface NotificationOptions {
  collections: Collections;
  transport: Pick<Transporter, 'sendMail'>;
  from: string;
  shopUrl: string;
}

/** Older news than that helps no one: not what a new installation finds in its log. */
const maxAgeMs = 3 * 86_400_000;

/**
 * Mails buyers how their orders ended. An event is one mail: a marker is claimed before it is sent and marked after. Who
 * dies between the two sends it once more, under the same Message-ID, by which mailboxes know it is the same.
 */
export function notifications(options: NotificationOptions): Subscription {
  return {
    name: 'notifications',
    types: Object.keys(kinds),
    // Buyers in a batch get theirs at the same time, as far as the transport has connections.
    maxBatch: 50,
    handle: (events) => notify(options, events),
  };
}

interface Mail {
  event: BusEvent;
  type: Type;
  data: EventData<Type>;
}

async function notify(options: NotificationOptions, events: BusEvent[]): Promise<void> {
  const { collections } = options;
  const mails = events.filter(isNews).map((event): Mail => {
    const type = event.type as Type;
    return { event, type, data: readData(event, type) };
  });
  const sent = await claim(collections, mails);
  const unsent = mails.filter(({ event }) => !sent.has(event.id));
  if (unsent.length === 0) return;
  const [users, sales] = await Promise.all([findBuyers(collections, unsent), findSales(collections, unsent)]);
  const byBuyer = new Map<string, Mail[]>();
  for (const mail of unsent) {
    byBuyer.set(mail.data.buyerId, [...(byBuyer.get(mail.data.buyerId) ?? []), mail]);
  }

  // All of them end before this does: what is handed over again must not still be on its way.
  const endings = await Promise.allSettled(
    [...byBuyer].map(async ([buyerId, theirs]) => {
      const user = users.get(buyerId);
      for (const mail of theirs) {
        const sale = sales.get(mail.data.saleId);
        // An account that was deleted, or never was, gets no mail.
        if (user && sale) await send(options, mail, user, sale);
      }
    }),
  );
  for (const ending of endings) if (ending.status === 'rejected') throw ending.reason;
}

const isNews = ({ time }: BusEvent) => Date.parse(time) > Date.now() - maxAgeMs;

/** @returns the ids of the events whose mail was sent before. */
async function claim({ mails }: Collections, claimed: Mail[]): Promise<Set<string>> {
  const ids = claimed.map(({ event }) => event.id);
  if (ids.length === 0) return new Set();
  await mails.bulkWrite(
    ids.map((_id) => ({
      updateOne: { filter: { _id }, update: { $setOnInsert: { createdAt: new Date() } }, upsert: true },
    })),
    { ordered: false },
  );
  const sent = await mails
    .find({ _id: trusted({ $in: ids }), sentAt: trusted({ $exists: true }) }, '_id')
    .lean<Pick<MailRecord, '_id'>[]>();
  return new Set(sent.map(({ _id }) => _id));
}

async function findBuyers({ users }: Collections, mails: Mail[]) {
  const ids = [...new Set(mails.map(({ data }) => data.buyerId))];
  const found = await users.find({ _id: trusted({ $in: ids }) }, 'email name').lean<UserRecord[]>();
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

async function send(
  { collections, transport, from, shopUrl }: NotificationOptions,
  { event, type, data }: Mail,
  user: Pick<UserRecord, 'email' | 'name'>,
  sale: NamedSale,
): Promise<void> {
  const text = mailTextOf({
    kind: kinds[type],
    buyerName: user.name,
    productName: sale.productName,
    quantity: data.quantity,
    price: sale.price,
    orderId: data.orderId,
    ...('reason' in data && { reason: data.reason }),
    shopUrl,
  });
  try {
    await transport.sendMail({
      from,
      to: { name: user.name, address: user.email },
      ...text,
      messageId: messageIdOf(event.id, from),
      headers: { 'Auto-Submitted': 'auto-generated' },
    });
  } catch (error) {
    if (isMailAway(error)) throw error;
    // Its message names the address, which belongs neither into a log nor into a dead letter.
    const { code, responseCode } = error as { code?: string; responseCode?: number };
    throw new Error(`The mail was refused: ${responseCode ?? code ?? 'it could not be written'}`);
  }
  await collections.mails.updateOne({ _id: event.id }, { sentAt: new Date() });
}

function messageIdOf(eventId: string, from: string): string {
  const host = /@([\w.-]+)/.exec(from)?.[1] ?? 'localhost';
  return `<${createHash('sha256').update(eventId).digest('hex').slice(0, 32)}@${host}>`;
}

/** Whether the mail server cannot be reached, or does not let us in: it says nothing about the mail. */
export function isMailAway(error: unknown): boolean {
  return /^(EAUTH|ECONNECTION|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ESOCKET|EDNS)$/.test(
    (error as { code?: string }).code ?? '',
  );
}
