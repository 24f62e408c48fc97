/**
 * Keyset pagination of a list sorted by time and id, the latest first. The cursor is the last entry's time and id rather than
 * an offset, so that entries added meanwhile neither repeat nor hide one.
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

/** A filter for the entries after the cursor; without one it matches everything. @param direction 1 when the earliest is first. */
export function afterCursor(field: string, cursor: string | undefined, direction: 1 | -1 = -1): object {
  const place = cursor === undefined ? null : parseCursor(cursor);
  if (!place) return {};
  const at = new Date(place.atMs);
  const beyond = direction === 1 ? '$gt' : '$lt';
  return { $or: [{ [field]: { [beyond]: at } }, { [field]: at, _id: { [beyond]: place.id } }] };
}

/** Cuts a result to one page. @param found up to `limit` + 1 entries; the extra one shows that there is a next page. */
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
