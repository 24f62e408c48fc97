import type { ClientSession } from 'mongoose';
import { appendStaffEntry, type By, changeInTurn } from '../accounts/staff-log.ts';
import { readChanges } from '../log/events.ts';
import { mongoClock } from '../runtime/clock.ts';
import { transact } from '../runtime/databases/transact.ts';
import type { Collections, OrderRecord } from '../store/collections.ts';
import type { SuspectRecord } from '../store/desk-collections.ts';
import type { SuspectPage, Suspicion } from './contract.ts';
import { adminOrdersOf } from './order-search.ts';

/** More orders of one sale than this are not looked at. */
const maxOrders = 200_000;
/** Log documents read at once; each can hold two thousand orders. */
const documentsAtOnce = 20;
const atOnce = 1_000;
const pageSize = 100;
/** Counting stops here. */
const countMax = 10_000;

/** What marking has found. */
export interface Marking {
  /** Orders that were paid, and were looked at. */
  looked: number;
  /** Orders that are marked, or were and are cleared; none that is cancelled. */
  marked: number;
  /** False when the sale has more orders than were looked at. */
  isWhole: boolean;
}

/** What buyers share. */
interface Group {
  shared: Suspicion['shared'];
  networkKey: string;
  buyerIds: string[];
}

/** Two buyers with one card are worth a look; a network is shared by an office as well, so staff say how many. */
const minBuyersOfMethod = 2;

/**
 * Marks the paid orders of a sale whose buyers signed in or took their places from a network that at least `minBuyers` of them
 * share, or paid with the same card. An order that was looked at and cleared stays cleared. Repeating it is safe.
 */
export async function markSuspects(
  collections: Collections,
  saleId: string,
  minBuyers: number,
): Promise<Marking> {
  const { suspects, orders } = collections;
  const { ordersOf, looked, isWhole } = await readBuyers(collections, saleId);
  const byNetwork = await groupByNetwork(collections, saleId, [...ordersOf.keys()]);
  const byMethod = await groupByMethod(collections, saleId, ordersOf);
  const groups = [
    ...byNetwork.filter(({ buyerIds }) => buyerIds.length >= minBuyers),
    ...byMethod.filter(({ buyerIds }) => buyerIds.length >= minBuyersOfMethod),
  ];
  const markedAt = mongoClock.now();
  const marks = new Map<string, Omit<SuspectRecord, '_id' | 'state' | 'markedAt'>>();
  for (const { buyerIds, ...group } of groups) {
    for (const buyerId of buyerIds) {
      for (const orderId of ordersOf.get(buyerId) ?? []) {
        // A buyer of several groups is in the one with the most buyers, and of equal ones in that of the card.
        if ((marks.get(orderId)?.buyers ?? 0) <= buyerIds.length)
          marks.set(orderId, { saleId, buyerId, ...group, buyers: buyerIds.length });
      }
    }
  }
  const ids = [...marks.keys()];
  let marked = 0;
  for (let start = 0; start < ids.length; start += atOnce) {
    const some = { _id: { $in: ids.slice(start, start + atOnce) }, status: 'paid' as const };
    const paid = await orders.find(some, { projection: { _id: 1 } }).toArray();
    const writes = paid.map(({ _id }) => {
      const update = { $set: marks.get(_id) ?? {}, $setOnInsert: { state: 'marked' as const, markedAt } };
      return { updateOne: { filter: { _id }, update, upsert: true } };
    });
    if (writes.length > 0) await suspects.bulkWrite(writes, { ordered: false });
    marked += paid.length;
  }
  return { looked, marked, isWhole };
}

/** The paid orders of each buyer of a sale. They are found through its log, which reads many orders in one document. */
async function readBuyers(collections: Collections, saleId: string) {
  const ordersOf = new Map<string, string[]>();
  let looked = 0;
  let isMore = true;
  for (let after = 0; isMore && looked < maxOrders; ) {
    const documents = await readChanges(collections, saleId, { after, limit: documentsAtOnce }).toArray();
    isMore = documents.length === documentsAtOnce;
    after = documents.at(-1)?.seq ?? after;
    for (const change of documents.flatMap(({ changes }) => changes)) {
      if (change.type !== 'order.paid') continue;
      const ofBuyer = ordersOf.get(change.buyerId);
      if (ofBuyer) ofBuyer.push(change.orderId);
      else ordersOf.set(change.buyerId, [change.orderId]);
      looked += 1;
    }
  }
  return { ordersOf, looked, isWhole: !isMore };
}

/** The buyers by the network from which they signed in within 30 days, or came to take their place in this sale. */
async function groupByNetwork(
  { accountNetworks, places }: Collections,
  saleId: string,
  buyerIds: string[],
): Promise<Group[]> {
  const buyersOf = new Map<string, Set<string>>();
  for (let start = 0; start < buyerIds.length; start += atOnce) {
    const some = buyerIds.slice(start, start + atOnce);
    const signedIn = await accountNetworks.find({ userId: { $in: some } }).toArray();
    const came = await places
      .find({ buyerId: { $in: some }, saleId, networkKey: { $exists: true } })
      .toArray();
    const seen = [
      ...signedIn.map(({ userId, networkKey }) => ({ userId, networkKey })),
      ...came.map(({ buyerId, networkKey = '' }) => ({ userId: buyerId, networkKey })),
    ];
    for (const { userId, networkKey } of seen)
      buyersOf.set(networkKey, (buyersOf.get(networkKey) ?? new Set()).add(userId));
  }
  return groupsOf('network', buyersOf);
}

/** The buyers by the card with which they have paid orders of the sale. */
async function groupByMethod(
  { payments }: Collections,
  saleId: string,
  ordersOf: Map<string, string[]>,
): Promise<Group[]> {
  const buyerOf = new Map([...ordersOf].flatMap(([buyer, ids]) => ids.map((id) => [id, buyer] as const)));
  const paid = { saleId, state: 'captured' as const, methodKey: { $type: 'string' as const } };
  const projection = { orderId: 1, methodKey: 1 };
  const buyersOf = new Map<string, Set<string>>();
  for await (const { orderId, methodKey } of payments.find(paid, { projection })) {
    const buyer = buyerOf.get(orderId);
    if (buyer && methodKey) buyersOf.set(methodKey, (buyersOf.get(methodKey) ?? new Set()).add(buyer));
  }
  return groupsOf('payment_method', buyersOf);
}

const groupsOf = (shared: Group['shared'], buyersOf: Map<string, Iterable<string>>): Group[] =>
  [...buyersOf].map(([networkKey, buyers]) => ({ shared, networkKey, buyerIds: [...buyers] }));

/** A page of the marked orders of a sale, those of one group together. */
export async function listSuspects(
  collections: Collections,
  saleId: string,
  cursor: string | undefined,
): Promise<SuspectPage> {
  const { suspects, orders } = collections;
  const readAt = mongoClock.now().toISOString();
  const marked = { saleId, state: 'marked' as const };
  const [networkKey = '', orderId = ''] = cursor?.split('.') ?? [];
  const after = cursor
    ? { $or: [{ networkKey: { $gt: networkKey } }, { networkKey, _id: { $gt: orderId } }] }
    : {};
  const found = await suspects
    .find({ ...marked, ...after })
    .sort({ networkKey: 1, _id: 1 })
    .limit(pageSize + 1)
    .toArray();
  const page = found.slice(0, pageSize);
  const records = await orders.find({ _id: { $in: page.map(({ _id }) => _id) } }).toArray();
  const recordById = new Map(records.map((record): [string, OrderRecord] => [record._id, record]));
  const inOrder = page.flatMap(({ _id }) => recordById.get(_id) ?? []);
  const orderById = new Map((await adminOrdersOf(collections, inOrder)).map((order) => [order.id, order]));
  const last = page.at(-1);
  return {
    readAt,
    marked: await suspects.countDocuments(marked, { limit: countMax }),
    suspects: page.flatMap((mark) => {
      const order = orderById.get(mark._id);
      return order ? [{ order, suspicion: suspicionOf(mark) }] : [];
    }),
    nextCursor: last && found.length > pageSize ? `${last.networkKey}.${last._id}` : null,
  };
}

export const suspicionOf = ({
  state,
  networkKey: group,
  shared = 'network',
  buyers,
}: SuspectRecord): Suspicion => ({ state, group, shared, buyers });

/** The ids of orders of a sale that were marked before a time, at most so many. */
export async function listMarked(
  { suspects }: Collections,
  saleId: string,
  { before, limit }: { before: Date | undefined; limit: number },
): Promise<string[]> {
  const found = await suspects
    .find(
      { saleId, state: 'marked', ...(before && { markedAt: { $lte: before } }) },
      { projection: { _id: 1 } },
    )
    .limit(limit)
    .toArray();
  return found.map(({ _id }) => _id);
}

/** Takes the mark off these orders of a sale. @returns of how many. */
export async function clearSuspects(
  collections: Collections,
  saleId: string,
  orderIds: string[],
  by: By,
): Promise<number> {
  const marked = { _id: { $in: orderIds }, saleId, state: 'marked' as const };
  const clear = async (session: ClientSession) => {
    const cleared = { $set: { state: 'cleared' as const } };
    const { modifiedCount } = await collections.suspects.updateMany(marked, cleared, { session });
    if (modifiedCount === 0) return 0;
    const subject = { kind: 'sale', id: saleId };
    const after = { orderIds };
    await appendStaffEntry(collections, session, { ...by, action: 'sale.suspects_cleared', subject, after });
    return modifiedCount;
  };
  return await changeInTurn(saleId, () => transact(collections.connection, clear));
}
