import { trusted } from 'mongoose';

/**
 * Pages of a list with the latest first and, of equal times, the greatest id first. Where a page ends is a time and an id
 * and not a number of entries, so that what is added meanwhile neither repeats an entry nor hides one.
 */
export interface TimeCursor {
  atMs: number;
  id: string;
}

/** @returns null when `text` is not a cursor that `pageOf` gave. */
export function parseCursor(text: string): TimeCursor | null {
  const match = /^(\d{1,15})\.([\w:.-]+)$/.exec(text);
  return match ? { atMs: Number(match[1]), id: match[2] as string } : null;
}

/** What comes behind the cursor; everything without one. */
export function behind(field: string, cursor: string | undefined): object {
  const place = cursor === undefined ? null : parseCursor(cursor);
  if (!place) return {};
  const at = new Date(place.atMs);
  return { $or: [{ [field]: trusted({ $lt: at }) }, { [field]: at, _id: trusted({ $lt: place.id }) }] };
}

/** Cuts what was found to a page. @param found one entry more than a page has, if there are as many. */
export function pageOf<Field extends string, Entry extends { _id: string } & Record<Field, Date>>(
  found: Entry[],
  field: Field,
  limit: number,
): { page: Entry[]; nextCursor: string | null } {
  const page = found.slice(0, limit);
  const last = page.at(-1);
  const isMore = last !== undefined && found.length > limit;
  return { page, nextCursor: isMore ? `${last[field].getTime()}.${last._id}` : null };
}
