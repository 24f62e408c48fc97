import { storedFormsOf } from '../accounts/email-address.ts';
import { eventKey } from '../log/events.ts';
import type { SettledStatus } from '../sale/contract.ts';
import { orderOf } from '../sale/order.ts';
import type { Collections, EventRecord, OrderRecord } from '../store/collections.ts';
import { afterCursor, pageOf } from '../store/time-cursor.ts';
import type { AdminOrder, AdminOrderPage } from './contract.ts';

/**
 * The admin's search for orders. A sale's orders are found through its event log, which lists them in the order of
 * settlement, so that the orders need no index by sale, which would slow down every settlement.
 */
export interface OrderSearch {
  /** An order id, or a buyer's e-mail address or id; when empty, all orders of the sale are listed, newest first. */
  text: string;
  saleId: string | undefined;
  status: SettledStatus | undefined;
  /** The previous page's `nextCursor`. */
  cursor: string | undefined;
}

const foundOfBuyer = 50;
/** A page has at least this many orders, because it consists of whole log documents. */
const pageOrders = 50;
const pageDocuments = 200;
/** Documents read at once for an export; each can hold a thousand orders. */
const exportedDocuments = 20;
const exportedOrders = 1_000;

export async function searchOrders(collections: Collections, search: OrderSearch): Promise<AdminOrderPage> {
  if (search.text !== '') return await findOrders(collections, search);
  if (!search.saleId) return { orders: [], nextCursor: null };
  const { ids, nextCursor } = await pageOfLog(collections, search.saleId, search);
  const orders = await loadOrders(collections, ids);
  // An order may have been cancelled after the log entry that was found, so its current status is checked.
  return { orders: orders.filter(({ status }) => status === (search.status ?? status)), nextCursor };
}

async function findOrders(
  collections: Collections,
  { text, saleId, status, cursor }: OrderSearch,
): Promise<AdminOrderPage> {
  const { users, orders } = collections;
  const buyers = text.includes('@')
    ? await users.find({ email: { $in: storedFormsOf(text) } }, { projection: { _id: 1 } }).toArray()
    : [];
  const found = await orders
    .find({
      $and: [
        text.includes('@')
          ? { buyerId: { $in: buyers.map(({ _id }) => _id) } }
          : { $or: [{ _id: text }, { buyerId: text }] },
        afterCursor('createdAt', cursor),
      ],
      ...(saleId && { saleId }),
      ...(status && { status }),
    })
    .sort({ createdAt: -1, _id: -1 })
    .limit(foundOfBuyer + 1)
    .toArray();
  const { page, nextCursor } = pageOf(found, 'createdAt', foundOfBuyer);
  return { orders: await withBuyers(collections, page), nextCursor };
}

async function pageOfLog(
  { events }: Collections,
  saleId: string,
  { cursor, status }: Pick<OrderSearch, 'cursor' | 'status'>,
): Promise<{ ids: string[]; nextCursor: number | null }> {
  const before = /^\d+$/.test(cursor ?? '') ? eventKey(saleId, Number(cursor)) : `${saleId}:~`;
  const documents = events
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
 * Yields every order of a sale once, in the order of settlement, in batches. The log is read page by page, so that no
 * MongoDB cursor stays open while a client reads slowly or disconnects.
 */
export async function* everyOrder(collections: Collections, saleId: string): AsyncGenerator<AdminOrder[]> {
  for (let after = `${saleId}:`, isMore = true; isMore; ) {
    const documents = await collections.events
      .find({ _id: { $gt: after, $lt: `${saleId}:~` } })
      .sort({ _id: 1 })
      .limit(exportedDocuments)
      .toArray();
    isMore = documents.length === exportedDocuments;
    after = documents.at(-1)?._id ?? after;
    const entries = documents.flatMap(entriesOf);
    for (let start = 0; start < entries.length; start += exportedOrders) {
      const batch = entries.slice(start, start + exportedOrders);
      const ids = [...new Set(batch.map(({ id }) => id))];
      const orders = new Map((await loadOrders(collections, ids)).map((order) => [order.id, order]));
      const settled = batch.flatMap((entry) => {
        const order = orders.get(entry.id);
        return order && isFinal(order, entry) ? [order] : [];
      });
      yield [...new Set(settled)];
    }
  }
}

/** A log entry that an order was paid or rejected. */
interface SettledEntry {
  id: string;
  at: string;
  isFailed: boolean;
}

function entriesOf({ at, changes }: EventRecord): SettledEntry[] {
  return changes.flatMap((change) =>
    change.type === 'order.paid' || change.type === 'order.rejected'
      ? [
          {
            id: change.orderId,
            at: at.toISOString(),
            isFailed: 'reason' in change && change.reason === 'failed',
          },
        ]
      : [],
  );
}

/** A failed order may have been settled after its dead letter was republished; then only the later log entry counts. */
function isFinal({ status, settledAt }: AdminOrder, { at, isFailed }: SettledEntry): boolean {
  return !isFailed || (status === 'rejected' && settledAt === at);
}

async function loadOrders(collections: Collections, ids: string[]): Promise<AdminOrder[]> {
  const records = await collections.orders.find({ _id: { $in: ids } }).toArray();
  const byId = new Map(records.map((record) => [record._id, record]));
  const inOrder = ids.flatMap((id) => byId.get(id) ?? []);
  return await withBuyers(collections, inOrder);
}

async function withBuyers({ users }: Collections, records: OrderRecord[]): Promise<AdminOrder[]> {
  const ids = [...new Set(records.map(({ buyerId }) => buyerId))];
  const found = await users.find({ _id: { $in: ids } }, { projection: { email: 1, name: 1 } }).toArray();
  const byId = new Map(found.map((user) => [user._id, user]));
  return records.map((record) => ({
    ...orderOf(record),
    buyerId: record.buyerId,
    email: byId.get(record.buyerId)?.email ?? null,
    name: byId.get(record.buyerId)?.name ?? null,
  }));
}
