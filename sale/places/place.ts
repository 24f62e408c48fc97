import type { Collections } from '../../store/collections.ts';
import type { DrawRecord, PlaceRecord } from '../../store/place-collections.ts';
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
  return await placeOf(collections, record, list?.draw ?? null);
}

/** @param draw the draw of its sale; null when the sale is none. */
export async function placeOf(
  { places }: Collections,
  record: PlaceRecord,
  draw: Pick<DrawRecord, 'state'> | null,
): Promise<Place> {
  const { saleId, lines, position, pseudonym, drawn, orderId, joinedAt } = record;
  // Positions are written one after the other, and hold once the draw is made.
  const isPending = draw !== null && draw.state !== 'drawn';
  const isWaiting = record.state === 'waiting' && !isPending && position !== null;
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
    joinedAt: joinedAt.toISOString(),
  };
}
