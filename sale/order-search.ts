import { trusted } from 'mongoose';
import type { AdminOrder, AdminOrderPage } from './admin-contract.ts';
import {
  type Collections,
  driverOf,
  type EventRecord,
  type OrderRecord,
  type UserRecord,
} from './collections.ts';
import { storedFormsOf } from './email-address.ts';
import { eventKey } from './events.ts';
import { orderOf } from './order.ts';

/**
 * Orders for the shop's own people. A sale's orders are found through its event log, which lists them in the order in
 * which they were settled: so they need no index that every settling would have to keep up.
 */
export interface OrderSearch {
  /** An order's id or a buyer's e-mail address or id; else all orders of the sale, newest first. */
  text: string;
  saleId: string | undefined;
  status: 'paid' | 'rejected' | 'cancelled' | undefined;
  /** The `nextCursor` of the page before. */
  cursor: number | undefined;
}

const foundOfBuyer = 100;
/** A page is whole documents of the log, each a batch that was settled together: at least as many orders. */
const pageOrders = 50;
const pageDocuments = 200;
const batchOrders = 1_000;

export async function searchOrders(collections: Collections, search: OrderSearch): Promise<AdminOrderPage> {
  if (search.text !== '') return { orders: await findOrders(collections, search), nextCursor: null };
  if (!search.saleId) return { orders: [], nextCursor: null };
  const { ids, nextCursor } = await pageOfLog(collections, search.saleId, search);
  return { orders: await loadOrders(collections, ids), nextCursor };
}

async function findOrders(
  collections: Collections,
  { text, saleId, status }: OrderSearch,
): Promise<AdminOrder[]> {
  const { users, orders } = collections;
  const buyers = text.includes('@')
    ? await users
        .find({ email: trusted({ $in: storedFormsOf(text) }) }, '_id')
        .lean<Pick<UserRecord, '_id'>[]>()
    : [];
  const found = await orders
    .find({
      ...(text.includes('@') ? {} : { $or: [{ _id: text }, { buyerId: text }] }),
      ...(text.includes('@') && { buyerId: trusted({ $in: buyers.map(({ _id }) => _id) }) }),
      ...(saleId && { saleId }),
      ...(status && { status }),
    })
    .sort({ createdAt: -1 })
    .limit(foundOfBuyer)
    .lean<OrderRecord[]>();
  return await withBuyers(collections, found);
}

async function pageOfLog(
  { events }: Collections,
  saleId: string,
  { cursor, status }: Pick<OrderSearch, 'cursor' | 'status'>,
): Promise<{ ids: string[]; nextCursor: number | null }> {
  const before = cursor === undefined ? `${saleId}:~` : eventKey(saleId, cursor);
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

/** Every order of a sale, in the order in which they were settled, a batch at a time; at most `limit`. */
export async function* everyOrder(
  collections: Collections,
  saleId: string,
  limit: number,
): AsyncGenerator<AdminOrder[]> {
  const documents = driverOf(collections.events)
    .find({ _id: { $gt: `${saleId}:`, $lt: `${saleId}:~` } })
    .sort({ _id: 1 });
  let ids = new Set<string>();
  let given = 0;
  for await (const document of documents) {
    for (const id of orderIdsOf(document, undefined)) ids.add(id);
    if (ids.size < batchOrders) continue;
    yield await loadOrders(collections, [...ids]);
    given += ids.size;
    ids = new Set();
    if (given >= limit) return;
  }
  if (ids.size > 0) yield await loadOrders(collections, [...ids]);
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
