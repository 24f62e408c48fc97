import type { ClientSession } from 'mongoose';
import { mongoClock, redisClock } from '../../runtime/clock.ts';
import { transact } from '../../runtime/databases/transact.ts';
import { failpoint } from '../../runtime/failpoints.ts';
import type { Exclusive } from '../../runtime/mutex.ts';
import { byId, type Collections, type SaleRecord } from '../../store/collections.ts';
import type { PlaceListRecord, PlaceRecord } from '../../store/place-collections.ts';
import { isForEverybody, phasesFieldOf, phasesIn } from '../access/access.ts';
import type { Gate } from '../admission/gate.ts';
import { type Purchase, type PurchaseLine, unitsIn } from '../contract.ts';
import { hasSeveralItems, itemsOf } from '../items.ts';
import { orderIdOf } from '../order.ts';
import { allowanceKey, holderOf, limitsOf } from '../settlement/decide.ts';
import { type Batch, ordersOf, settleWithin } from '../settlement/transaction.ts';
import { reservedItemsOf } from './reserve.ts';

/** People who are offered units in one transaction. */
const offersAtOnce = 500;
const salesAtOnce = 1_000;
/** How long a transaction is retried after write conflicts; the next pass tries again. */
const patienceMs = 5_000;

/** A committed round of offers. */
export interface Offers {
  batch: Batch;
  purchases: Purchase[];
  /** The sale, when some of its items are not reserved any more. */
  released: SaleRecord | null;
}

/** The ids of the open sales with units left for people with a place. */
export async function findOffering({ sales }: Collections, now = redisClock.now()): Promise<string[]> {
  const found = await sales
    .find(
      {
        phase: 'open',
        closesAt: { $gt: now },
        paused: false,
        stock: { $gt: 0 },
        $or: [{ mode: 'draw', drawnAt: { $exists: true } }, { 'reservedItems.0': { $exists: true } }],
      },
      { projection: { _id: 1 } },
    )
    .limit(salesAtOnce)
    .toArray();
  return found.map(({ _id }) => _id);
}

/**
 * Offers units of a sale to the next people, in the order of their positions, in one transaction: each gets an order of
 * their own, for up to the units that they asked for and their limits allow. Whoever has as many as the limits allow waits no
 * longer, because otherwise those behind would wait for them. Items of which units are left that nobody waits for go back on
 * sale.
 * @param exclusive keeps this process from settling meanwhile; it is not taken when there is nothing to do.
 * @returns null when there was nothing to do.
 */
export async function offerUnits(
  collections: Collections,
  saleId: string,
  exclusive: Exclusive,
): Promise<Offers | null> {
  if (!(await findNext(collections, saleId))) return null;
  return await exclusive(() => offerInTransaction(collections, saleId));
}

async function offerInTransaction(collections: Collections, saleId: string): Promise<Offers | null> {
  const offered = await transact(
    collections.connection,
    async (session) => {
      const next = await findNext(collections, saleId, session);
      if (!next) return null;
      const { sale, left, places, released } = next;
      const rooms = await readRooms(collections, sale, places, session);
      const list = (await collections.placeLists.findOneAndUpdate(
        { _id: saleId },
        { $inc: { writes: 1, offers: 1 } },
        { session, returnDocument: 'after' },
      )) as PlaceListRecord;
      const shares = shareOut(places, left, (place) => rooms.get(place._id) ?? unlimited);
      const purchases = shares.map(({ place, given }) => purchaseFor(place, given, sale));
      const batch = await settle(collections, purchases, session);
      await markOffered(collections, shares, purchases, list.offers, session);
      const given = new Set(shares.map(({ place }) => place));
      const passed = places.filter((place) => !given.has(place));
      await dropFull(collections, passed, rooms, session);
      const after = released.length > 0 ? await release(collections, saleId, released, session) : null;
      failpoint('offering');
      return { batch, purchases, released: after };
    },
    { patienceMs },
  );
  if (offered) failpoint('offered');
  return offered;
}

/** The gate takes the units as those of purchases that were admitted and are settled now. */
export async function takeFromGate(gate: Gate, { batch, purchases, released }: Offers): Promise<void> {
  // They are all of one sale.
  const [first] = purchases;
  if (first) await gate.queueAgain(gate.shardOf(first.saleId), purchases);
  await gate.removeSettled(batch.settledPurchases);
  if (released) await gate.sync(released);
}

/** What is to be done in a sale; null when it is nothing. */
async function findNext(collections: Collections, saleId: string, session?: ClientSession) {
  const sale = await collections.sales.findOne({ _id: saleId }, session && { session });
  if (!sale || !mayOffer(sale, redisClock.now())) return null;
  const left = leftOf(sale);
  const { places, unwanted } = await findWaiting(collections, saleId, left, session);
  const released = sale.mode === 'draw' ? [] : unwanted;
  return places.length === 0 && released.length === 0 ? null : { sale, left, places, released };
}

const mayOffer = (sale: SaleRecord, now: Date) =>
  now >= sale.opensAt &&
  now < sale.closesAt &&
  !sale.paused &&
  !sale.calledOffAt &&
  (sale.mode !== 'draw' || sale.drawnAt !== undefined);

/** Units left of each reserved item that has any. */
function leftOf(sale: SaleRecord): Map<string, number> {
  const reserved = new Set(reservedItemsOf(sale));
  const items = itemsOf(sale).filter(({ id, stock }) => stock > 0 && reserved.has(id));
  return new Map(items.map(({ id, stock }) => [id, stock]));
}

/**
 * The next people who wait for one of these items, in the order of their positions, and the items of which there are more
 * units than all who wait for them want.
 */
async function findWaiting(
  { places }: Collections,
  saleId: string,
  left: ReadonlyMap<string, number>,
  session?: ClientSession,
): Promise<{ places: PlaceRecord[]; unwanted: string[] }> {
  const found = new Map<number, PlaceRecord>();
  const unwanted: string[] = [];
  let upTo = Number.POSITIVE_INFINITY;
  for (const [itemId, units] of left) {
    const limit = Math.min(units, offersAtOnce);
    const ofItem = await places
      .find(
        { saleId, state: 'waiting', 'lines.itemId': itemId, position: { $gt: 0 } },
        session && { session },
      )
      .sort({ position: 1 })
      .limit(limit)
      .toArray();
    for (const place of ofItem) found.set(place.position ?? 0, place);
    const wanted = ofItem.flatMap(({ lines }) => lines.filter((line) => line.itemId === itemId));
    if (ofItem.length < limit && unitsIn(wanted) < units) unwanted.push(itemId);
    // Behind the last one who was read, others may wait for the same item.
    if (ofItem.length === offersAtOnce) upTo = Math.min(upTo, ofItem.at(-1)?.position ?? 0);
  }
  const inOrder = [...found.values()].sort((one, other) => (one.position ?? 0) - (other.position ?? 0));
  const next = inOrder.filter(({ position }) => (position ?? 0) <= upTo).slice(0, offersAtOnce);
  return { places: next, unwanted: next.length === inOrder.length ? unwanted : [] };
}

/** How many units a person's limits still allow. */
interface Room {
  units: number;
  /** By the id of each item that has a limit of its own. */
  items: ReadonlyMap<string, number>;
}

const unlimited: Room = { units: Number.POSITIVE_INFINITY, items: new Map() };

/** The room of each person, by the id of their place. */
async function readRooms(
  { allowances }: Collections,
  sale: SaleRecord,
  places: PlaceRecord[],
  session: ClientSession,
): Promise<Map<string, Room>> {
  const limits = limitsOf(sale);
  const holders = places.flatMap(({ personId, lines }) => [
    personId,
    ...lines.map(({ itemId }) => holderOf(personId, itemId)),
  ]);
  const keys = holders.map((holder) => allowanceKey(sale._id, holder));
  const found = await allowances.find({ _id: { $in: keys } }, { session }).toArray();
  const taken = new Map(found.map(({ _id, units }) => [_id, units]));
  const rest = (holder: string, limit: number) => limit - (taken.get(allowanceKey(sale._id, holder)) ?? 0);
  return new Map(
    places.map(({ _id, personId, lines }) => {
      const ofItems = lines.flatMap(({ itemId }): [string, number][] => {
        const limit = limits.items.get(itemId)?.limitPerBuyer ?? null;
        return limit === null ? [] : [[itemId, rest(holderOf(personId, itemId), limit)]];
      });
      return [_id, { units: rest(personId, limits.limitPerBuyer), items: new Map(ofItems) }];
    }),
  );
}

const roomFor = ({ units, items }: Room, itemId: string) =>
  Math.max(0, Math.min(units, items.get(itemId) ?? Number.POSITIVE_INFINITY));

/**
 * Shares out units: each person, in this order, gets what is left of what they ask for, and what their limits allow. Pure.
 * @param left units by item id.
 */
export function shareOut<Asking extends { lines: PurchaseLine[] }>(
  places: readonly Asking[],
  left: ReadonlyMap<string, number>,
  roomOf: (place: Asking) => Room = () => unlimited,
): { place: Asking; given: PurchaseLine[] }[] {
  const rest = new Map(left);
  return places.flatMap((place) => {
    const room = { ...roomOf(place) };
    const given = place.lines.flatMap(({ itemId, quantity }) => {
      const units = Math.min(quantity, rest.get(itemId) ?? 0, roomFor(room, itemId));
      rest.set(itemId, (rest.get(itemId) ?? 0) - units);
      room.units -= units;
      return units > 0 ? [{ itemId, quantity: units }] : [];
    });
    return given.length > 0 ? [{ place, given }] : [];
  });
}

/** The same place always gets the same order, so that no offer is made twice. */
function purchaseFor(place: PlaceRecord, given: PurchaseLine[], sale: SaleRecord): Purchase {
  const { saleId, buyerId, personId, position } = place;
  // Since a phase for everybody has begun, nobody needs a code, and another one may have used it up.
  const isFree = isForEverybody(phasesIn(phasesFieldOf(sale)), redisClock.now().getTime());
  const code = isFree ? undefined : place.code;
  const idempotencyKey = `place-${position}`;
  return {
    orderId: orderIdOf(buyerId, saleId, idempotencyKey),
    saleId,
    buyerId,
    ...(personId !== buyerId && { personId }),
    quantity: unitsIn(given),
    ...(hasSeveralItems(sale) && { lines: given }),
    ...(code && { code }),
    idempotencyKey,
    createdAt: mongoClock.now().toISOString(),
  };
}

async function markOffered(
  { places }: Collections,
  shares: { place: PlaceRecord; given: PurchaseLine[] }[],
  purchases: Purchase[],
  offer: number,
  session: ClientSession,
): Promise<void> {
  const updates = shares.map(({ place: { _id }, given }, n) => {
    const $set = { state: 'offered' as const, orderId: purchases[n]?.orderId ?? '', offer, given };
    return { updateOne: { filter: { _id }, update: { $set } } };
  });
  if (updates.length > 0) await places.bulkWrite(updates, { session });
}

/** Of people who got nothing, drops what their limits do not allow any more; with nothing else they leave. */
async function dropFull(
  { places }: Collections,
  passed: PlaceRecord[],
  rooms: ReadonlyMap<string, Room>,
  session: ClientSession,
): Promise<void> {
  const updates = passed.flatMap(({ _id, lines }) => {
    const allowed = lines.filter(({ itemId }) => roomFor(rooms.get(_id) ?? unlimited, itemId) > 0);
    if (allowed.length === lines.length) return [];
    const $set = allowed.length > 0 ? { lines: allowed } : { state: 'left' as const };
    return [{ updateOne: { filter: { _id }, update: { $set } } }];
  });
  if (updates.length > 0) await places.bulkWrite(updates, { session });
}

async function settle(
  collections: Collections,
  purchases: Purchase[],
  session: ClientSession,
): Promise<Batch> {
  const before = await collections.orders.find(ordersOf(purchases), { session, hint: byId }).toArray();
  return await settleWithin(collections, purchases, before, session, true);
}

/** The pages see the units that were reserved, so the version of the stock grows. */
async function release(
  { sales }: Collections,
  _id: string,
  items: string[],
  session: ClientSession,
): Promise<SaleRecord | null> {
  return await sales.findOneAndUpdate(
    { _id },
    { $pullAll: { reservedItems: items }, $inc: { revision: 1, stockVersion: 1 } },
    { session, returnDocument: 'after' },
  );
}
