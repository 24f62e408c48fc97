import { trusted } from 'mongoose';
import { storedFormsOf } from '../accounts/email-address.ts';
import { eventKey } from '../log/events.ts';
import type { SettledStatus } from '../sale/contract.ts';
import { orderOf } from '../sale/order.ts';
import {
  type Collections,
  driverOf,
  type EventRecord,
  type OrderRecord,
  type UserRecord,
} from '../store/collections.ts';
import { behind, pageOf } from '../store/time-cursor.ts';
import type { AdminOrder, AdminOrderPage } from './contract.ts';

/**
 * Orders for the shop's own people. A sale's orders are found through its event log, which lists them in the order in
 * which they were settled: so they need no index that every settling would have to keep up.
 */
export interface OrderSearch {
  /** An order's id or a buyer's e-mail address or id; else all orders of the sale, newest first. */
  text: string;
  saleId: string | undefined;
  status: SettledStatus | undefined;
  /** The `nextCursor` of the page before. */
  cursor: string | undefined;
}

const foundOfBuyer = 50;
/** A page is whole documents of the log, each a batch that was settled together: at least as many orders. */
const pageOrders = 50;
const pageDocuments = 200;
/** A document of the log can hold a thousand orders. */
const exportedDocuments = 20;
const exportedOrders = 1_000;

export async function searchOrders(collections: Collections, search: OrderSearch): Promise<AdminOrderPage> {
  if (search.text !== '') return await findOrders(collections, search);
  if (!search.saleId) return { orders: [], nextCursor: null };
  const { ids, nextCursor } = await pageOfLog(collections, search.saleId, search);
  const orders = await loadOrders(collections, ids);
  // The log says what an order came to then, and it may have been cancelled since.
  return { orders: orders.filter(({ status }) => status === (search.status ?? status)), nextCursor };
}

async function findOrders(
  collections: Collections,
  { text, saleId, status, cursor }: OrderSearch,
): Promise<AdminOrderPage> {
  const { users, orders } = collections;
  const buyers = text.includes('@')
    ? await users
        .find({ email: trusted({ $in: storedFormsOf(text) }) }, '_id')
        .lean<Pick<UserRecord, '_id'>[]>()
    : [];
  const found = await orders
    .find({
      $and: [
        text.includes('@')
          ? { buyerId: trusted({ $in: buyers.map(({ _id }) => _id) }) }
          : { $or: [{ _id: text }, { buyerId: text }] },
        behind('createdAt', cursor),
      ],
      ...(saleId && { saleId }),
      ...(status && { status }),
    })
    .sort({ createdAt: -1, _id: -1 })
    .limit(foundOfBuyer + 1)
    .lean<OrderRecord[]>();
  const { page, nextCursor } = pageOf(found, 'createdAt', foundOfBuyer);
  return { orders: await withBuyers(collections, page), nextCursor };
}

async function pageOfLog(
  { events }: Collections,
  saleId: string,
  { cursor, status }: Pick<OrderSearch, 'cursor' | 'status'>,
): Promise<{ ids: string[]; nextCursor: number | null }> {
  const before = /^\d+$/.test(cursor ?? '') ? eventKey(saleId, Number(cursor)) : `${saleId}:~`;
  const documents = driverOf(events)
    .find({ _id: { $gt: `${saleId}:`, $lt: before } })
    .sort({ _id: -1 })
    .limit(pageDocuments);
  const ids = new Set<string>();
  let seq = 0;
  for await (const document of documents) {
    for (const id of orderIdsOf(document, status).reverse()) ids.add(id);
    seq = document.seq;
    if (ids.size >= pageOrders) break;
  }
  return { ids: [...ids], nextCursor: seq > 1 ? seq : null };
}

function orderIdsOf({ changes }: EventRecord, status: OrderSearch['status']): string[] {
  return changes.flatMap((change) => {
    if (!('orderId' in change)) return [];
    if (status) return change.type === `order.${status}` ? [change.orderId] : [];
    return change.type === 'order.cancelled' ? [] : [change.orderId];
  });
}

/**
 * Every order of a sale once, in the order in which they were settled, a batch at a time. The log is read in pieces, so
 * no cursor stays open in MongoDB while whoever reads this takes their time, or goes away.
 */
export async function* everyOrder(collections: Collections, saleId: string): AsyncGenerator<AdminOrder[]> {
  for (let after = `${saleId}:`, isMore = true; isMore; ) {
    const documents = await driverOf(collections.events)
      .find({ _id: { $gt: after, $lt: `${saleId}:~` } })
      .sort({ _id: 1 })
      .limit(exportedDocuments)
      .toArray();
    isMore = documents.length === exportedDocuments;
    after = documents.at(-1)?._id ?? after;
    const told = documents.flatMap(tellingsOf);
    for (let start = 0; start < told.length; start += exportedOrders) {
      const batch = told.slice(start, start + exportedOrders);
      const ids = [...new Set(batch.map(({ id }) => id))];
      const orders = new Map((await loadOrders(collections, ids)).map((order) => [order.id, order]));
      const ended = batch.flatMap((telling) => {
        const order = orders.get(telling.id);
        return order && isEnd(order, telling) ? [order] : [];
      });
      yield [...new Set(ended)];
    }
  }
}

/** Where the log says how an order ended. */
interface Telling {
  id: string;
  at: string;
  isGivenUp: boolean;
}

function tellingsOf({ at, changes }: EventRecord): Telling[] {
  return changes.flatMap((change) =>
    change.type === 'order.paid' || change.type === 'order.rejected'
      ? [
          {
            id: change.orderId,
            at: at.toISOString(),
            isGivenUp: 'reason' in change && change.reason === 'failed',
          },
        ]
      : [],
  );
}

/** An order that was given up may have been settled after all: then the log tells of it once more, and that counts. */
function isEnd({ status, settledAt }: AdminOrder, { at, isGivenUp }: Telling): boolean {
  return !isGivenUp || (status === 'rejected' && settledAt === at);
}

async function loadOrders(collections: Collections, ids: string[]): Promise<AdminOrder[]> {
  const records = await collections.orders.find({ _id: trusted({ $in: ids }) }).lean<OrderRecord[]>();
  const byId = new Map(records.map((record) => [record._id, record]));
  const inOrder = ids.flatMap((id) => byId.get(id) ?? []);
  return await withBuyers(collections, inOrder);
}

async function withBuyers({ users }: Collections, records: OrderRecord[]): Promise<AdminOrder[]> {
  const ids = [...new Set(records.map(({ buyerId }) => buyerId))];
  const found = await users
    .find({ _id: trusted({ $in: ids }) }, 'email name')
    .lean<Pick<UserRecord, '_id' | 'email' | 'name'>[]>();
  const byId = new Map(found.map((user) => [user._id, user]));
  return records.map((record) => ({
    ...orderOf(record),
    buyerId: record.buyerId,
    email: byId.get(record.buyerId)?.email ?? null,
    name: byId.get(record.buyerId)?.name ?? null,
  }));
}
