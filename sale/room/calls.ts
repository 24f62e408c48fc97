import type { ClientSession } from 'mongoose';
import { mongoClock, redisClock } from '../../runtime/clock.ts';
import { transact } from '../../runtime/databases/transact.ts';
import { failpoint } from '../../runtime/failpoints.ts';
import type { Collections, SaleRecord } from '../../store/collections.ts';
import type { PlaceListRecord, PlaceRecord, RoomRecord } from '../../store/place-collections.ts';
import { allowanceKey } from '../settlement/decide.ts';
import { callsNow, paceOf, withStep } from './pace.ts';

const roomsAtOnce = 100;
/** Places of people who are called or inside, which every round reads. It is above what `callsNow` allows. */
const openPlacesMax = 5_000;
/** How long a transaction is retried after write conflicts; the next round tries again. */
const patienceMs = 5_000;
/** Whoever does not come within this time does not keep the next one waiting, but may still come. */
const promptMs = 10_000;
/** A purchase that was admitted with the last breath of a pass is settled within this time, usually. */
const graceMs = 2_000;

/** The bounds of a waiting room, in seconds. */
export interface RoomTimes {
  /** Within which a person who is called has to come. */
  answerSeconds: number;
}

/** What Redis knows of a sale and its queue. */
export interface RoomStock {
  /** Units that the gate still admits; null when there is no gate. */
  gateLeft: number | null;
  /** Accepted purchases that are not settled. */
  backlog: number;
}

/** The ids of the sales with a waiting room that have not ended. */
export async function findRooms({ sales }: Collections, now = redisClock.now()): Promise<string[]> {
  const found = await sales
    .find({ mode: 'room', closesAt: { $gt: now } }, { projection: { _id: 1 } })
    .limit(roomsAtOnce)
    .toArray();
  return found.map(({ _id }) => _id);
}

/** Units that are neither sold nor asked for. */
export const freeUnits = (sale: SaleRecord, { gateLeft }: Pick<RoomStock, 'gateLeft'>) =>
  Math.max(0, Math.min(sale.stock, gateLeft ?? sale.stock));

/**
 * Calls the next people into a waiting room, in the order of their places, and looks after those who were called: whoever has
 * bought is served, whoever does not come goes to the end, once, and whoever does not buy in time has had their turn. All of
 * it is one transaction that reads what it decides on, so nobody is called twice, and a leader that dies leaves nothing half.
 * @returns how many were called.
 */
export async function callPeople(
  collections: Collections,
  saleId: string,
  stock: RoomStock,
  times: RoomTimes,
): Promise<number> {
  if (!(await planRound(collections, saleId, stock))) return 0;
  const called = await transact(
    collections.connection,
    async (session) => {
      // Written first, so that a write conflict with people who come or leave costs only this one command.
      await collections.placeLists.updateOne({ _id: saleId }, { $inc: { writes: 1 } }, { session });
      const round = await planRound(collections, saleId, stock, session);
      if (!round) return 0;
      await writeRound(collections, round, times, session);
      failpoint('calling');
      return round.next.length;
    },
    { patienceMs },
  );
  if (called > 0) failpoint('called');
  return called;
}

interface Round {
  sale: SaleRecord;
  list: PlaceListRecord & { room: RoomRecord };
  served: PlaceRecord[];
  /** Whose turn is over, because they did not buy in time or did not come twice. */
  over: PlaceRecord[];
  /** Who did not come, for the first time. */
  missed: PlaceRecord[];
  /** Who is called now, the first first. */
  next: PlaceRecord[];
  /** Units that they have already, by `allowanceKey`. */
  had: ReadonlyMap<string, number>;
  beyond: number;
  now: Date;
}

/** What is to be done in a room; null when it is nothing. */
async function planRound(
  collections: Collections,
  saleId: string,
  stock: RoomStock,
  session?: ClientSession,
): Promise<Round | null> {
  const options = session && { session };
  const { places } = collections;
  const now = redisClock.now();
  const sale = await collections.sales.findOne({ _id: saleId }, options);
  const list = await collections.placeLists.findOne({ _id: saleId }, options);
  if (!sale || !list?.room || list.draw?.state !== 'drawn') return null;
  const { room } = list;
  // The times of people inside go on while the room is paused, but not while the sale is.
  if (sale.paused || sale.calledOffAt || now < sale.opensAt || now >= sale.closesAt) return null;
  const open = await places
    .find({ saleId, state: { $in: ['called', 'inside'] } }, options)
    .limit(openPlacesMax)
    .toArray();
  const taken = await unitsOf(collections, open, session);
  const at = now.getTime();
  const hasBought = (place: PlaceRecord) =>
    (taken.get(keyOf(place)) ?? 0) > (place.calls?.at(-1)?.units ?? 0);
  const served = open.filter(hasBought);
  const others = open.filter((place) => !hasBought(place));
  const inside = others.filter(({ state }) => state === 'inside');
  const called = others.filter(({ state }) => state === 'called');
  const late = called.filter(({ calls }) => (calls?.at(-1)?.answerBy.getTime() ?? 0) <= at);
  const gone = inside.filter(({ passUntil }) => (passUntil?.getTime() ?? 0) + graceMs <= at);
  const { paced } = paceOf({ perMinute: sale.roomPerMinute, nextCallAt: room.nextCallAt }, now);
  const answering = called.filter(({ calls }) => (calls?.at(-1)?.at.getTime() ?? 0) + promptMs > at);
  const { calls, beyond } = callsNow({
    free: freeUnits(sale, stock),
    inside: inside.length - gone.length,
    answering: answering.length,
    invited: others.length - late.length - gone.length,
    backlog: stock.backlog,
    paced,
    extra: room.extra,
  });
  const next = room.paused ? [] : await findNext(collections, saleId, calls, session);
  if (served.length + late.length + gone.length + next.length === 0) return null;
  return {
    sale,
    list: { ...list, room },
    served,
    over: [...gone, ...late.filter(({ missed }) => missed)],
    missed: late.filter(({ missed }) => !missed),
    next,
    had: await unitsOf(collections, next, session),
    // Fewer may wait than could be called.
    beyond: Math.max(0, next.length - (calls - beyond)),
    now,
  };
}

async function findNext(
  { places }: Collections,
  saleId: string,
  limit: number,
  session?: ClientSession,
): Promise<PlaceRecord[]> {
  if (limit === 0) return [];
  const waiting = { saleId, state: 'waiting' as const, position: { $gt: 0 } };
  return await places
    .find(waiting, session && { session })
    .sort({ position: 1 })
    .limit(limit)
    .toArray();
}

const keyOf = ({ saleId, personId }: PlaceRecord) => allowanceKey(saleId, personId);

async function unitsOf(
  { allowances }: Collections,
  places: PlaceRecord[],
  session?: ClientSession,
): Promise<Map<string, number>> {
  if (places.length === 0) return new Map();
  const found = await allowances.find({ _id: { $in: places.map(keyOf) } }, session && { session }).toArray();
  return new Map(found.map(({ _id, units }) => [_id, units]));
}

async function writeRound(
  { places, placeLists }: Collections,
  { sale, list, served, over, missed, next, had, beyond, now }: Round,
  { answerSeconds }: RoomTimes,
  session: ClientSession,
): Promise<void> {
  const { room } = list;
  const at = mongoClock.now();
  const answerBy = new Date(now.getTime() + answerSeconds * 1_000);
  let { lastPosition } = list;
  const setState = (state: PlaceRecord['state']) => (place: PlaceRecord) =>
    update(place, { $set: { state }, $unset: { passUntil: '' } });
  const updates = [
    ...served.map(setState('served')),
    ...over.map(setState('left')),
    ...missed.map((place) => {
      lastPosition += 1;
      return update(place, { $set: { state: 'waiting', position: lastPosition, missed: true } });
    }),
    ...next.map((place, n) => {
      const units = had.get(keyOf(place)) ?? 0;
      const call = { position: place.position ?? 0, number: room.calls + n + 1, at, answerBy, units };
      return update(place, { $set: { state: 'called', calls: [...(place.calls ?? []), call] } });
    }),
  ];
  await places.bulkWrite(updates, { session });
  const calledUpTo = Math.max(room.calledUpTo, next.at(-1)?.position ?? 0);
  const { nextAfter } = paceOf({ perMinute: sale.roomPerMinute, nextCallAt: room.nextCallAt }, now);
  // Single fields, because staff may change the others meanwhile.
  const changes = {
    lastPosition,
    'room.extra': room.extra - beyond,
    'room.calls': room.calls + next.length,
    'room.calledUpTo': calledUpTo,
    'room.nextCallAt': nextAfter(next.length - beyond),
    'room.recent': withStep(room.recent, { at: now, calledUpTo }),
  };
  await placeLists.updateOne({ _id: list._id }, { $set: changes }, { session });
}

/** Somebody who has come or left meanwhile makes the transaction conflict, because it reads what it changes. */
const update = ({ _id }: PlaceRecord, change: object) => ({ updateOne: { filter: { _id }, update: change } });
