import type { mongo } from 'mongoose';
import { storedFormsOf } from '../accounts/email-address.ts';
import { numberStaffEntries } from '../accounts/staff-log.ts';
import type { Collections } from '../store/collections.ts';
import type { StaffEntryRecord } from '../store/staff-collections.ts';
import type { StaffEntry, StaffEntryPage } from './contract.ts';

export interface StaffLogSearch {
  /** An account's id or e-mail address, a key's id or name, or a command. */
  actor?: string | undefined;
  /** An action such as `sale.paused`, or only its first part. */
  action?: string | undefined;
  /** The id of what was changed. */
  subject?: string | undefined;
  /** From this time on, and before that one. */
  from?: Date | undefined;
  to?: Date | undefined;
}

/** A page of the entries that were found, newest first. @param cursor the previous page's `nextCursor`. */
export async function searchStaffLog(
  collections: Collections,
  search: StaffLogSearch,
  { cursor, limit }: { cursor?: string | undefined; limit: number },
): Promise<StaffEntryPage> {
  const found = await find(collections, search, cursor, limit + 1);
  const page = found.slice(0, limit);
  return { entries: page.map(entryOf), nextCursor: found.length > limit ? (page.at(-1)?._id ?? null) : null };
}

const exportedAtOnce = 1_000;

/** Yields every entry that is found, newest first, in batches; no cursor of MongoDB stays open while a client reads slowly. */
export async function* everyStaffEntry(
  collections: Collections,
  search: StaffLogSearch,
): AsyncGenerator<StaffEntryRecord[]> {
  for (let cursor: string | undefined; ; ) {
    const found = await find(collections, search, cursor, exportedAtOnce);
    yield found;
    if (found.length < exportedAtOnce) return;
    cursor = found.at(-1)?._id;
  }
}

async function find(
  collections: Collections,
  { actor, action, subject, from, to }: StaffLogSearch,
  cursor: string | undefined,
  limit: number,
): Promise<StaffEntryRecord[]> {
  // So that an entry is found as soon as its change was answered.
  if (!cursor) await numberStaffEntries(collections);
  const filters: mongo.Filter<StaffEntryRecord>[] = [];
  if (cursor) filters.push({ _id: { $lt: cursor } });
  if (actor) filters.push({ $or: [{ 'actor.id': actor }, { 'actor.name': { $in: storedFormsOf(actor) } }] });
  // `sale` also finds `sale.paused`; `/` is the character after the dot.
  if (action) filters.push({ $or: [{ action }, { action: { $gte: `${action}.`, $lt: `${action}/` } }] });
  if (subject) filters.push({ 'subject.id': subject });
  if (from) filters.push({ at: { $gte: from } });
  if (to) filters.push({ at: { $lt: to } });
  return await collections.staffLog
    .find(filters.length > 0 ? { $and: filters } : {})
    .sort({ _id: -1 })
    .limit(limit)
    .toArray();
}

function entryOf({ _id, at, before, after, ...rest }: StaffEntryRecord): StaffEntry {
  const [from, to] = [before, after].map((json) => json && JSON.parse(json));
  return { number: Number(_id), ...rest, at: at.toISOString(), before: from, after: to };
}
