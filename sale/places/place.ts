import type { Collections } from '../../store/collections.ts';
import type { PlaceListRecord, PlaceRecord } from '../../store/place-collections.ts';
import type { Place } from '../contract.ts';

/** More people ahead than this are not counted. */
const countedAhead = 10_000;

export const placeIdOf = (saleId: string, personId: string) => `${saleId}:${personId}`;

/** @returns null when the person has no place in this sale. */
export async function readPlace(
  collections: Collections,
  saleId: string,
  personId: string,
): Promise<Place | null> {
  const record = await collections.places.findOne({ _id: placeIdOf(saleId, personId) });
  if (!record) return null;
  const list = await collections.placeLists.findOne({ _id: saleId });
  return await placeOf(collections, record, list ?? { draw: null });
}

/** @param list of its sale. */
export async function placeOf(
  { places }: Collections,
  record: PlaceRecord,
  { draw, room }: Pick<PlaceListRecord, 'draw' | 'room'>,
): Promise<Place> {
  const { saleId, lines, position, pseudonym, drawn, orderId, missed, passUntil, joinedAt } = record;
  // Positions are written one after the other, and hold once the draw is made.
  const isPending = draw !== null && draw.state !== 'drawn';
  // A waiting room tells everybody at once how far it got, so nobody has to be counted for each of them.
  const isWaiting = record.state === 'waiting' && !isPending && !room && position !== null;
  const isAhead = { saleId, state: 'waiting' as const, position: { $gt: 0, $lt: position ?? 0 } };
  const ahead = isWaiting ? await places.countDocuments(isAhead, { limit: countedAhead + 1 }) : null;
  return {
    saleId,
    state: record.state === 'waiting' && isPending ? 'entered' : record.state,
    lines,
    position: isPending ? null : position,
    ahead: ahead && Math.min(ahead, countedAhead),
    ...(ahead !== null && ahead > countedAhead && { moreAhead: true as const }),
    ...(pseudonym && { pseudonym }),
    ...(!isPending && drawn !== undefined && { drawn }),
    orderId: orderId ?? null,
    ...(record.state === 'called' && { answerBy: record.calls?.at(-1)?.answerBy.toISOString() ?? '' }),
    ...(record.state === 'inside' && passUntil && { passUntil: passUntil.toISOString() }),
    ...(missed && { missed }),
    joinedAt: joinedAt.toISOString(),
  };
}
