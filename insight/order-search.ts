import { storedFormsOf } from '../accounts/email-address.ts';
import { addressOf } from '../accounts/user.ts';
import { documentsOf, readChanges } from '../log/events.ts';
import { beginsOrder } from '../log/schemas.ts';
import { isOverTime } from '../runtime/databases/connections.ts';
import type { SettledStatus } from '../sale/contract.ts';
import { orderOf } from '../sale/order.ts';
import { notOfRehearsals } from '../sale/rehearsal.ts';
import type { Collections, EventRecord, OrderRecord } from '../store/collections.ts';
import { afterCursor, pageOf } from '../store/time-cursor.ts';
import type { AdminOrder, AdminOrderPage } from './contract.ts';

/**
 * The admin's search for orders. A sale's orders are found through its event log, which lists them in the order of
 * settlement, so that the orders need no index by sale and time, which would slow down every settlement.
 */
export interface OrderSearch {
  /**
   * An order's id or short number, or a buyer's e-mail address, id or words of the name; when empty, all orders of the sale
   * are listed, newest first.
   */
  text: string;
  /** Orders of rehearsals are found only where this names one. */
  saleId: string | undefined;
  status: SettledStatus | undefined;
  /** The previous page's `nextCursor`. */
  cursor: string | undefined;
}

const foundOfBuyer = 50;
/** Buyers with the same words in their names that are looked at. */
const namedMax = 100;
/** Orders with the same short number that are looked at. */
const numberedMax = 20;
/** The search for a number of an older mail is given up after this time. */
const suffixMaxMs = 3_000;
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
  const { filter, incomplete } = text.includes('@')
    ? { filter: await ofAddress(collections, text), incomplete: false }
    : await ofNumberOrName(collections, text);
  const found = await collections.orders
    .find({
      $and: [filter, afterCursor('createdAt', cursor)],
      ...(saleId ? { saleId } : notOfRehearsals),
      ...(status && { status }),
    })
    .sort({ createdAt: -1, _id: -1 })
    .limit(foundOfBuyer + 1)
    .toArray();
  const { page, nextCursor } = pageOf(found, 'createdAt', foundOfBuyer);
  return {
    orders: await adminOrdersOf(collections, page),
    nextCursor,
    ...(incomplete && { incomplete: true as const }),
  };
}

async function ofAddress({ users }: Collections, email: string) {
  const forms = { $in: storedFormsOf(email) };
  const buyers = await users
    .find({ $or: [{ email: forms }, { providerEmail: forms }] }, { projection: { _id: 1 } })
    .toArray();
  return { buyerId: { $in: buyers.map(({ _id }) => _id) } };
}

/** The text may be an id, a short number, the words of a name, or several of these at once. */
async function ofNumberOrName(collections: Collections, text: string) {
  const number = /^(?:(?:no|nr|n°)\.?\s*|#)?([\w-]{8})$/i.exec(text)?.[1];
  const [numbered, named] = await Promise.all([
    number ? findNumbered(collections, number) : { ids: [], incomplete: false },
    findNamed(collections, text),
  ]);
  const older =
    number && numbered.ids.length === 0 && named.ids.length === 0
      ? await findBySuffix(collections, number)
      : { ids: [], incomplete: false };
  const ids = [text, ...numbered.ids, ...older.ids];
  return {
    filter: { $or: [{ _id: { $in: ids } }, { buyerId: { $in: [text, ...named.ids] } }] },
    incomplete: numbered.incomplete || named.incomplete || older.incomplete,
  };
}

interface Found {
  ids: string[];
  /** Whether there are more. */
  incomplete: boolean;
}

const foundOf = (records: { _id: string }[], max: number): Found => ({
  ids: records.slice(0, max).map(({ _id }) => _id),
  incomplete: records.length > max,
});

/** The orders with a short number, which is the beginning of the id, so that the index of the ids finds them. */
async function findNumbered({ orders }: Collections, number: string): Promise<Found> {
  const found = await orders
    .find({ _id: { $gte: number, $lt: `${number}~` } }, { projection: { _id: 1 } })
    .limit(numberedMax + 1)
    .toArray();
  return foundOf(found, numberedMax);
}

/** Mails and pages of earlier versions say the end of the id, and buyers may still quote them. Only the index of the ids is read, but all of it. */
async function findBySuffix({ orders }: Collections, number: string): Promise<Found> {
  try {
    const found = await orders
      .find({ _id: { $regex: `${number}$` } }, { projection: { _id: 1 } })
      .hint({ _id: 1 })
      .limit(numberedMax + 1)
      .maxTimeMS(suffixMaxMs)
      .toArray();
    return foundOf(found, numberedMax);
  } catch (error) {
    if (isOverTime(error)) return { ids: [], incomplete: true };
    throw error;
  }
}

/** The buyers whose name has all words of a text, whatever their case and accents. */
async function findNamed({ users }: Collections, text: string): Promise<Found> {
  // Each word is a phrase, so that all are required and none is an operator.
  const words = text.replaceAll('"', ' ').split(/\s+/).filter(Boolean);
  const phrases = words.map((word) => `"${word}"`).join(' ');
  if (phrases === '') return { ids: [], incomplete: false };
  const found = await users
    .find({ $text: { $search: phrases } }, { projection: { _id: 1 } })
    .limit(namedMax + 1)
    .toArray();
  return foundOf(found, namedMax);
}

async function pageOfLog(
  { events }: Collections,
  saleId: string,
  { cursor, status }: Pick<OrderSearch, 'cursor' | 'status'>,
): Promise<{ ids: string[]; nextCursor: number | null }> {
  const range = /^\d+$/.test(cursor ?? '') ? { before: Number(cursor) } : {};
  const documents = events.find(documentsOf(saleId, range)).sort({ _id: -1 }).limit(pageDocuments);
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
    return beginsOrder(change) ? [change.orderId] : [];
  });
}

/**
 * Yields every order of a sale once, in the order of settlement, in batches. The log is read page by page, so that no
 * MongoDB cursor stays open while a client reads slowly or disconnects.
 */
export async function* everyOrder(collections: Collections, saleId: string): AsyncGenerator<AdminOrder[]> {
  for (let after = 0, isMore = true; isMore; ) {
    const documents = await readChanges(collections, saleId, { after, limit: exportedDocuments }).toArray();
    isMore = documents.length === exportedDocuments;
    after = documents.at(-1)?.seq ?? after;
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

/** The log entry with which an order begins. */
interface SettledEntry {
  id: string;
  at: string;
  isFailed: boolean;
}

function entriesOf({ at, changes }: EventRecord): SettledEntry[] {
  return changes.flatMap((change) =>
    beginsOrder(change)
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
  return await adminOrdersOf(collections, inOrder);
}

/** Orders with what is known of their buyers, in the same order. */
export async function adminOrdersOf({ users }: Collections, records: OrderRecord[]): Promise<AdminOrder[]> {
  const ids = [...new Set(records.map(({ buyerId }) => buyerId))];
  const projection = { email: 1, providerEmail: 1, name: 1 };
  const found = await users.find({ _id: { $in: ids } }, { projection }).toArray();
  const byId = new Map(found.map((user) => [user._id, { email: addressOf(user), name: user.name }]));
  return records.map((record) => ({
    ...orderOf(record),
    buyerId: record.buyerId,
    email: byId.get(record.buyerId)?.email ?? null,
    name: byId.get(record.buyerId)?.name ?? null,
  }));
}
