import type { Snapshot } from '../../runtime/databases/snapshot-read.ts';
import { keyOf } from '../../sale/places/beacon.ts';
import { commitmentOf, drawKeyOf, openListDigest } from '../../sale/places/draw.ts';
import { reservedItemsOf } from '../../sale/places/reserve.ts';
import type { Collections, OrderRecord, SaleRecord } from '../../store/collections.ts';
import type { DrawRecord, PlaceListRecord } from '../../store/place-collections.ts';
import { type Check, type Finding, openFinding } from './finding.ts';

const batchSize = 1_000;

/**
 * Checks I8 for a sale: its draw follows from its seed and its list, and nobody was offered a unit, or called into the waiting
 * room, before somebody ahead of them who waited for the same.
 */
export async function auditPlaces(
  collections: Collections,
  saleId: string,
  sale: SaleRecord | null,
  snapshot: Snapshot,
): Promise<Finding> {
  const { finding, check } = openFinding();
  for await (const list of collections.placeLists.find({ _id: saleId }, snapshot)) {
    if (!sale) check(false, () => `the places of sale ${list._id} have no sale`);
    else {
      if (list.draw?.state === 'drawn') await auditDraw(collections, list._id, list.draw, check, snapshot);
      if (list.room) await auditRoom(collections, list._id, list, check, snapshot);
      else await auditOffers(collections, sale, list, check, snapshot);
    }
  }
  return finding;
}

async function auditDraw(
  { places }: Collections,
  saleId: string,
  { seed, commitment, digest, beacon }: DrawRecord,
  check: Check['check'],
  snapshot: Snapshot,
): Promise<void> {
  const key = Buffer.from(seed ?? '', 'hex');
  check(commitmentOf(key) === commitment, () => `sale ${saleId}: the seed is not the one committed to`);
  const drawKey = keyOf(key, beacon);
  const isWhole = !beacon || beacon.waivedAt !== null || drawKey.length === 2 * key.length;
  check(isWhole, () => `sale ${saleId}: the draw was made without its random number`);
  const list = openListDigest();
  const drawn: { hash: string; number: number | undefined }[] = [];
  const entries = places.find({ saleId, pseudonym: { $gt: '' } }, snapshot).sort({ pseudonym: 1 });
  for await (const { pseudonym = '', drawn: number } of entries) {
    list.add(pseudonym);
    drawn.push({ hash: drawKeyOf(drawKey, pseudonym), number });
  }
  check(list.hex() === digest, () => `sale ${saleId}: the list of entries is not the published one`);
  drawn.sort((one, other) => (one.hash < other.hash ? -1 : 1));
  for (const [n, { number }] of drawn.entries())
    check(number === n + 1, () => `sale ${saleId}: entry ${n + 1} of the draw has number ${number}`);
}

/** Walks through the places of a sale, the first first. */
async function auditOffers(
  { places, orders }: Collections,
  sale: SaleRecord,
  { draw }: PlaceListRecord,
  check: Check['check'],
  snapshot: Snapshot,
): Promise<void> {
  if (draw && draw.state !== 'drawn') return;
  const { _id: saleId } = sale;
  const reserved = new Set(reservedItemsOf(sale));
  /** The last round in which anybody so far was offered something that they wanted of an item, by item id. */
  const servedIn = new Map<string, number>();
  const stillWaiting = Number.POSITIVE_INFINITY;
  let batch: { orderId: string; personId: string }[] = [];
  const checkOrders = async () => {
    const ids = batch.map(({ orderId }) => orderId);
    const found = await orders.find({ _id: { $in: ids } }, snapshot).toArray();
    const orderById = new Map<string, OrderRecord>(found.map((order) => [order._id, order]));
    for (const { orderId, personId } of batch) {
      const order = orderById.get(orderId);
      const isTheirs = order?.saleId === saleId && (order.personId ?? order.buyerId) === personId;
      check(isTheirs, () => `sale ${saleId}: the offer ${orderId} is no order of the person who waited`);
    }
    batch = [];
  };
  const taken = places.find({ saleId, position: { $gt: 0 } }, snapshot).sort({ position: 1 });
  for await (const { state, position, lines, personId, orderId, offer = 0, given = [] } of taken) {
    if (state === 'left') continue;
    for (const { itemId } of given) {
      const before = servedIn.get(itemId) ?? 0;
      check(
        before <= offer,
        () => `sale ${saleId}: place ${position} was offered item ${itemId} out of turn`,
      );
    }
    for (const { itemId } of lines) {
      const round = state === 'waiting' ? stillWaiting : Math.max(servedIn.get(itemId) ?? 0, offer);
      servedIn.set(itemId, round);
      const isKept = state !== 'waiting' || reserved.has(itemId);
      check(isKept, () => `sale ${saleId}: place ${position} waits for item ${itemId}, which is on sale`);
    }
    if (state === 'offered') batch.push({ orderId: orderId ?? '', personId });
    if (batch.length === batchSize) await checkOrders();
  }
  await checkOrders();
}

/** A purchase and the call before it are timed in two processes. */
const clockToleranceMs = 2_000;

/**
 * Recomputes the order in which a room called: by their places, each place once. Nobody who waits was passed over, and nobody
 * bought before they were called.
 */
async function auditRoom(
  { places, orders }: Collections,
  saleId: string,
  { room, draw, lastPosition }: PlaceListRecord,
  check: Check['check'],
  snapshot: Snapshot,
): Promise<void> {
  if (!room || draw?.state !== 'drawn') return;
  const calls: { position: number; number: number }[] = [];
  const first = new Map<string, number>();
  for await (const { personId, state, position, drawn, calls: own = [] } of places.find(
    { saleId },
    snapshot,
  )) {
    calls.push(...own);
    if (own[0]) first.set(personId, own[0].at.getTime());
    if (state !== 'waiting') continue;
    const isBehind = position !== null && position > room.calledUpTo && position <= lastPosition;
    check(
      isBehind,
      () => `sale ${saleId}: place ${position ?? drawn} waits, and others behind it were called`,
    );
  }
  calls.sort((one, other) => one.position - other.position);
  for (const [n, { position, number }] of calls.entries()) {
    const before = calls[n - 1];
    const isTwice = before?.position === position;
    check(!isTwice, () => `sale ${saleId}: place ${position} was called twice`);
    check(
      number === n + 1,
      () => `sale ${saleId}: place ${position} was called out of turn, as number ${number}`,
    );
  }
  check(
    calls.length === room.calls,
    () => `sale ${saleId}: ${room.calls} calls, of which ${calls.length} are known`,
  );
  const projection = { buyerId: 1, personId: 1, createdAt: 1 } as const;
  for await (const order of orders.find({ saleId, reason: null }, { ...snapshot, projection })) {
    const calledAt = first.get(order.personId ?? order.buyerId) ?? Number.POSITIVE_INFINITY;
    const isInTurn = order.createdAt.getTime() + clockToleranceMs >= calledAt;
    check(isInTurn, () => `sale ${saleId}: order ${order._id} was made before its person was called`);
  }
}
