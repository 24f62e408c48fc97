import { appendStaffEntry, type By } from '../../accounts/staff-log.ts';
import { redisClock } from '../../runtime/clock.ts';
import { transact } from '../../runtime/databases/transact.ts';
import type { Collections } from '../../store/collections.ts';
import type { RoomRecord } from '../../store/place-collections.ts';
import type { RoomStatus } from '../contract.ts';
import { placeIdOf } from '../places/place.ts';
import { extraOf, freeUnits, type RoomStock } from './calls.ts';
import { speedsOf } from './pace.ts';

/** More people are not counted one by one, because everybody who waits is told once a second. */
const countedMax = 10_000;
/** How much the first people weigh in the units that each one takes. */
const assumedPeople = 3;

/** @returns what everybody in a waiting room needs to know; null when there is no such room. */
export async function readRoom(
  { sales, places, placeLists }: Collections,
  saleId: string,
  stock: Pick<RoomStock, 'gateLeft'>,
): Promise<RoomStatus | null> {
  const [sale, list] = await Promise.all([
    sales.findOne({ _id: saleId }),
    placeLists.findOne({ _id: saleId }),
  ]);
  if (!sale || !list?.room) return null;
  const now = redisClock.now();
  const { room, draw } = list;
  const isDrawn = draw?.state === 'drawn';
  const [counted, inside] = isDrawn
    ? await Promise.all([
        places.countDocuments({ saleId, state: 'waiting' }, { limit: countedMax }),
        places.countDocuments({ saleId, state: { $in: ['called', 'inside'] } }),
      ])
    : [list.places, 0];
  // Whoever waits has a place behind all that were called, and few of a long line leave it.
  const waiting = isDrawn && counted === countedMax ? list.lastPosition - room.calledUpTo : counted;
  const left = freeUnits(sale, stock);
  const isSoldOut = left === 0 && !sale.site;
  const ended = Math.max(0, room.calls - inside);
  const taken = sale.unitsOnSale - left;
  const isOver = Boolean(sale.calledOffAt) || now >= sale.closesAt;
  const opened = sale.paused || room.paused ? 'paused' : isSoldOut ? 'sold_out' : 'open';
  const gathering = now >= sale.opensAt ? 'drawing' : 'gathering';
  return {
    saleId,
    state: isOver ? 'ended' : isDrawn ? opened : gathering,
    waiting,
    inside,
    calledUpTo: room.calledUpTo,
    left,
    unitsPerCall: sale.site ? 0 : (taken + assumedPeople) / (ended + assumedPeople),
    ...speedsOf(room.recent, now),
    message: room.message,
    at: now.toISOString(),
  };
}

/**
 * A person who was called comes in, until the sale ends or is called off. Coming again, also on another device, gives the same
 * pass.
 * @returns when the pass ends, or why there is none.
 */
export async function comeIn(
  { sales, places, placeLists }: Collections,
  saleId: string,
  personId: string,
  passSeconds: number,
): Promise<Date | 'no_place' | 'not_called' | 'paused'> {
  const _id = placeIdOf(saleId, personId);
  const projection = { paused: 1, calledOffAt: 1, closesAt: 1 } as const;
  const sale = await sales.findOne({ _id: saleId }, { projection });
  const list = await placeLists.findOne({ _id: saleId }, { projection: { 'room.pausedAt': 1 } });
  // Also until the time of the pause is given back.
  if (sale?.paused || list?.room?.pausedAt) return 'paused';
  const now = redisClock.now();
  const passUntil = new Date(now.getTime() + passSeconds * 1_000);
  const inTime = { _id, state: 'called' as const, calls: { $elemMatch: { answerBy: { $gt: now } } } };
  const isOver = sale && (sale.calledOffAt || sale.closesAt <= now);
  if (!isOver) await places.updateOne(inTime, { $set: { state: 'inside', passUntil } });
  const place = await places.findOne({ _id });
  if (!place || place.state === 'left') return 'no_place';
  const isInside = place.state === 'inside' && place.passUntil && place.passUntil > now;
  return isInside ? (place.passUntil as Date) : 'not_called';
}

/** What staff may do with a room. */
export interface RoomChange {
  paused?: boolean | undefined;
  /** How many people to let in beyond the pace. */
  letIn?: number | undefined;
  /** Null: none. */
  message?: string | null | undefined;
}

/** The same as the staff log keeps it. */
type RoomControl = Pick<RoomRecord, 'paused' | 'message' | 'extra'>;
const controlOf = (room: RoomRecord, now: Date): RoomControl => {
  const { paused, message } = room;
  return { paused, message, extra: extraOf(room, now) };
};

/** @returns null when there is no such room. */
export async function readControl({ placeLists }: Collections, saleId: string): Promise<RoomControl | null> {
  const room = (await placeLists.findOne({ _id: saleId }))?.room;
  return room ? controlOf(room, redisClock.now()) : null;
}

/** People let in beyond the pace that are still to be called. */
const maxExtra = 10_000;
/** Whoever was not called by then, for want of units, is not let in beyond the pace any more. */
const extraMs = 60_000;

/** @returns null when there is no such room. */
export async function changeRoom(
  collections: Collections,
  saleId: string,
  { paused, letIn = 0, message }: RoomChange,
  by: By,
): Promise<RoomControl | null> {
  return await transact(collections.connection, async (session) => {
    const { placeLists } = collections;
    const before = (await placeLists.findOne({ _id: saleId }, { session }))?.room;
    if (!before) return null;
    const now = redisClock.now();
    const after = {
      ...before,
      paused: paused ?? before.paused,
      extra: Math.min(extraOf(before, now) + letIn, maxExtra),
      ...(letIn > 0 && { extraUntil: new Date(now.getTime() + extraMs) }),
      message: message === undefined ? before.message : message || null,
    };
    const changes = {
      'room.paused': after.paused,
      'room.extra': after.extra,
      'room.message': after.message,
      ...(after.extraUntil && { 'room.extraUntil': after.extraUntil }),
    };
    await placeLists.updateOne({ _id: saleId }, { $set: changes, $inc: { writes: 1 } }, { session });
    const states = { before: controlOf(before, now), after: controlOf(after, now) };
    await appendStaffEntry(collections, session, {
      ...by,
      action: 'room.changed',
      subject: { kind: 'sale', id: saleId },
      ...states,
    });
    return controlOf(after, now);
  });
}
