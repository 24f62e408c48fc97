import type { ClientSession } from 'mongoose';
import { mongoClock, redisClock } from '../../runtime/clock.ts';
import { transact } from '../../runtime/databases/transact.ts';
import { failpoint } from '../../runtime/failpoints.ts';
import { type Collections, insertAll, type SaleRecord } from '../../store/collections.ts';
import type { MailRecord } from '../../store/event-collections.ts';
import type { PlaceListRecord, PlaceRecord, RoomCall, RoomRecord } from '../../store/place-collections.ts';
import { allowanceKey } from '../settlement/decide.ts';
import { callsNow, paceOf, withStep } from './pace.ts';

/** Rooms that are open at once; of those before the opening only the next ones are told how many have gathered. */
const maxRooms = { open: 1_000, gathering: 100 };
/** A room is looked after from this time before its opening on. */
const soonMs = 1_000;
/** Places of people who are called or inside, which every round reads. It is above what `callsNow` allows. */
const openPlacesMax = 5_000;
/** How long a transaction is retried after write conflicts; the next round tries again. */
const patienceMs = 5_000;
/** Whoever does not come within this time does not keep the next one waiting, but may still come. */
const promptMs = 10_000;
/** A purchase that was admitted with the last breath of a pass is settled within this time, usually. */
const graceMs = 2_000;

/** The settings of all waiting rooms. */
export interface RoomSettings {
  /** Within which a person who is called has to come. */
  answerSeconds: number;
  /** Whether whoever is called and does not come at once gets a mail. */
  hasMails: boolean;
}

/** Whoever has the page open comes within this time after the call, or a quarter of the time to come, and needs no mail. */
const mailAfterMs = 5_000;

/** What Redis knows of a sale and its queue. */
export interface RoomStock {
  /** Units that the gate still admits; null when there is no gate. */
  gateLeft: number | null;
  /** Accepted purchases that are not settled. */
  backlog: number;
}

/**
 * The ids of the sales with a waiting room that are open, or that people gather for, each in the order of their openings.
 * @returns `isWhole` is false when more are open than are looked after.
 */
export async function findRooms(
  { sales }: Collections,
  part: keyof typeof maxRooms,
  now = redisClock.now(),
): Promise<{ ids: string[]; isWhole: boolean }> {
  const soon = new Date(now.getTime() + soonMs);
  const opensAt = part === 'open' ? { $lte: soon } : { $gt: soon };
  const found = await sales
    .find({ mode: 'room', closesAt: { $gt: now }, opensAt }, { projection: { _id: 1 } })
    .sort({ opensAt: 1 })
    .limit(maxRooms[part] + 1)
    .toArray();
  const ids = found.slice(0, maxRooms[part]).map(({ _id }) => _id);
  return { ids, isWhole: ids.length === found.length };
}

/** People who are still to be let in beyond the pace. */
export const extraOf = ({ extra, extraUntil }: RoomRecord, now: Date) =>
  extraUntil && extraUntil > now ? extra : 0;

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
  settings: RoomSettings,
): Promise<number> {
  if (!(await planRound(collections, saleId, stock, settings))) return 0;
  const called = await transact(
    collections.connection,
    async (session) => {
      // Written first, so that a write conflict with people who come or leave costs only this one command.
      await collections.placeLists.updateOne({ _id: saleId }, { $inc: { writes: 1 } }, { session });
      const round = await planRound(collections, saleId, stock, settings, session);
      if (!round) return 0;
      if ('pausedAt' in round) {
        await writePause(collections, saleId, round, session);
        return 0;
      }
      await writeRound(collections, round, settings, session);
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
  /** Who is called and gets a mail about it now. */
  mailed: PlaceRecord[];
  /** Units that they have already, by `allowanceKey`. */
  had: ReadonlyMap<string, number>;
  beyond: number;
  now: Date;
}

/** The sale was paused, or goes on. */
interface Pause {
  /** Null when it goes on. */
  pausedAt: Date | null;
  /** How long it was paused. */
  lastedMs: number;
  /** Whoever is called or inside. */
  open: PlaceRecord[];
}

/** What is to be done in a room; null when it is nothing. */
async function planRound(
  collections: Collections,
  saleId: string,
  stock: RoomStock,
  { answerSeconds, hasMails }: RoomSettings,
  session?: ClientSession,
): Promise<Round | Pause | null> {
  const options = session && { session };
  const { places } = collections;
  const now = redisClock.now();
  const sale = await collections.sales.findOne({ _id: saleId }, options);
  const list = await collections.placeLists.findOne({ _id: saleId }, options);
  if (!sale || !list?.room || list.draw?.state !== 'drawn') return null;
  const { room } = list;
  if (sale.calledOffAt || now < sale.opensAt || now >= sale.closesAt) return null;
  // The times of people inside go on while the room is paused, but not while the sale is.
  if (sale.paused) return room.pausedAt ? null : { pausedAt: now, lastedMs: 0, open: [] };
  const open = await places
    .find({ saleId, state: { $in: ['called', 'inside'] } }, options)
    .limit(openPlacesMax)
    .toArray();
  const at = now.getTime();
  if (room.pausedAt) return { pausedAt: null, lastedMs: Math.max(0, at - room.pausedAt.getTime()), open };
  const taken = await unitsOf(collections, open, session);
  // Whoever had units before may have given some back meanwhile, so for them the count does not say it.
  const again = await buyersAgain(
    collections,
    saleId,
    open.filter(({ calls }) => (calls?.at(-1)?.units ?? 0) > 0),
    session,
  );
  const hasBought = (place: PlaceRecord) =>
    (taken.get(keyOf(place)) ?? 0) > (place.calls?.at(-1)?.units ?? 0) || again.has(place._id);
  const served = open.filter(hasBought);
  const others = open.filter((place) => !hasBought(place));
  const inside = others.filter(({ state }) => state === 'inside');
  const called = others.filter(({ state }) => state === 'called');
  const late = called.filter(({ calls }) => (calls?.at(-1)?.answerBy.getTime() ?? 0) <= at);
  const gone = inside.filter(({ passUntil }) => (passUntil?.getTime() ?? 0) + graceMs <= at);
  const { paced } = paceOf({ perMinute: sale.roomPerMinute, nextCallAt: room.nextCallAt }, now);
  // By the end of their time, which a pause puts off.
  const promptUntil = (by: Date) => by.getTime() - answerSeconds * 1_000 + promptMs;
  const mailAt = (by: Date) =>
    by.getTime() - answerSeconds * 1_000 + Math.min(mailAfterMs, answerSeconds * 250);
  const mailed = called.filter((place) => {
    const call = place.calls?.at(-1);
    return hasMails && call && !call.mailed && mailAt(call.answerBy) <= at && !late.includes(place);
  });
  const answering = called.filter(({ calls }) => promptUntil(calls?.at(-1)?.answerBy ?? now) > at);
  const { calls, beyond } = callsNow({
    free: freeUnits(sale, stock),
    inside: inside.length - gone.length,
    answering: answering.length,
    invited: others.length - late.length - gone.length,
    backlog: stock.backlog,
    paced,
    extra: extraOf(room, now),
    maxInside: sale.site?.inside,
  });
  const next = room.paused ? [] : await findNext(collections, saleId, calls, session);
  if (served.length + late.length + gone.length + next.length + mailed.length === 0) return null;
  return {
    sale,
    list: { ...list, room },
    served,
    over: [...gone, ...late.filter(({ missed }) => missed)],
    missed: late.filter(({ missed }) => !missed),
    next,
    mailed,
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

/** The places of those who have an order that was made after their last call. */
async function buyersAgain(
  { orders }: Collections,
  saleId: string,
  places: PlaceRecord[],
  session?: ClientSession,
): Promise<Set<string>> {
  if (places.length === 0) return new Set();
  const calledAt = (place: PlaceRecord) => place.calls?.at(-1)?.at.getTime() ?? 0;
  const found = await orders
    .find(
      {
        buyerId: { $in: places.map(({ buyerId }) => buyerId) },
        createdAt: { $gt: new Date(Math.min(...places.map(calledAt))) },
        saleId,
        reason: null,
      },
      { ...(session && { session }), projection: { buyerId: 1, createdAt: 1 } },
    )
    .toArray();
  const lastAt = new Map<string, number>();
  for (const { buyerId, createdAt } of found)
    lastAt.set(buyerId, Math.max(lastAt.get(buyerId) ?? 0, createdAt.getTime()));
  const hasOrder = (place: PlaceRecord) => (lastAt.get(place.buyerId) ?? 0) > calledAt(place);
  return new Set(places.filter(hasOrder).map(({ _id }) => _id));
}

/** Notes that the sale is paused, or puts the times of everybody called or inside off by how long it was. */
async function writePause(
  { places, placeLists }: Collections,
  saleId: string,
  { pausedAt, lastedMs, open }: Pause,
  session: ClientSession,
): Promise<void> {
  const later = (time: Date) => new Date(time.getTime() + lastedMs);
  const updates = open.map((place) => {
    const { passUntil } = place;
    const last = place.calls?.at(-1);
    const calls = last && withLast(place.calls, { answerBy: later(last.answerBy) });
    return update(place, {
      $set: { ...(calls && { calls }), ...(passUntil && { passUntil: later(passUntil) }) },
    });
  });
  if (updates.length > 0) await places.bulkWrite(updates, { session });
  const change = pausedAt
    ? { $set: { 'room.pausedAt': pausedAt } }
    : { $unset: { 'room.pausedAt': '' as const } };
  await placeLists.updateOne({ _id: saleId }, change, { session });
}

async function writeRound(
  collections: Collections,
  { sale, list, served, over, missed, next, mailed, had, beyond, now }: Round,
  { answerSeconds }: RoomSettings,
  session: ClientSession,
): Promise<void> {
  const { places, placeLists } = collections;
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
    ...mailed.map((place) => update(place, { $set: { calls: withLast(place.calls, { mailed: true }) } })),
    ...next.map((place, n) => {
      const units = had.get(keyOf(place)) ?? 0;
      const call = { position: place.position ?? 0, number: room.calls + n + 1, at, answerBy, units };
      return update(place, { $set: { state: 'called', calls: [...(place.calls ?? []), call] } });
    }),
  ];
  await places.bulkWrite(updates, { session });
  if (mailed.length > 0) await insertAll(collections, collections.mails, mailed.map(callMailOf), session);
  const calledUpTo = Math.max(room.calledUpTo, next.at(-1)?.position ?? 0);
  const { nextAfter } = paceOf({ perMinute: sale.roomPerMinute, nextCallAt: room.nextCallAt }, now);
  // Single fields, because staff may change the others meanwhile.
  const changes = {
    lastPosition,
    'room.extra': extraOf(room, now) - beyond,
    'room.calls': room.calls + next.length,
    'room.calledUpTo': calledUpTo,
    'room.nextCallAt': nextAfter(next.length - beyond),
    'room.recent': withStep(room.recent, { at: now, calledUpTo }),
  };
  await placeLists.updateOne({ _id: list._id }, { $set: changes }, { session });
}

const withLast = (calls: RoomCall[] = [], change: Partial<RoomCall>) =>
  calls.map((call, n) => (n === calls.length - 1 ? { ...call, ...change } : call));

/** The mail about the last call of a person, which subscribers/mail/ sends. Its id allows one for each call. */
function callMailOf({ _id: placeId, calls }: PlaceRecord): MailRecord {
  const number = calls?.at(-1)?.number ?? 0;
  const now = mongoClock.now();
  const due = { state: 'waiting' as const, attempts: 0, unanswered: 0, dueAt: now, answer: null };
  return { _id: `call:${placeId}:${number}`, call: { placeId, number }, ...due, createdAt: now };
}

/** Somebody who has come or left meanwhile makes the transaction conflict, because it reads what it changes. */
const update = ({ _id }: PlaceRecord, change: object) => ({ updateOne: { filter: { _id }, update: change } });
