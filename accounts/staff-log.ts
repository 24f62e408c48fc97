import { createHash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { type ClientSession, mongo } from 'mongoose';
import { mongoClock } from '../runtime/clock.ts';
import { gapMs, transact } from '../runtime/databases/transact.ts';
import { openMutexes } from '../runtime/mutex.ts';
import { type Collections, insertAll } from '../store/collections.ts';
import type { ActorRecord, StaffEntryRecord } from '../store/staff-collections.ts';
import { addressOf } from './user.ts';

/**
 * The staff log: who changed what, from where, before and after. An entry is written in the same transaction as its change,
 * so that neither exists without the other, and no code changes or deletes one. It is written without a number first, so
 * that changes at the same time do not conflict; the leader, and whoever reads the log, appends it to the log soon after.
 * From then on each entry has the hash of the one before it (a hash chain), so that editing, removing or inserting an entry
 * breaks every later one: see `checkStaffLog`.
 */

/** Who makes a change, and how it reached the shop. */
export interface By {
  /** The name of an account is looked up when the entry is written. */
  actor: Omit<ActorRecord, 'name'> & { name?: string | null };
  /** The client's address, or the host on which a command runs. */
  from: string | null;
  /** Id of the HTTP request. */
  requestId: string | null;
}

export interface StaffEntry extends By {
  /** What was done, as `<kind>.<verb in the past>`, e.g. `sale.paused`. */
  action: string;
  subject: { kind: string; id: string };
  /** The subject before and after the change; fields that are equal in both are left out of the entry. */
  before?: object | null;
  after?: object | null;
}

/** Writes entries in the transaction of their change. */
export async function appendStaffEntry(
  collections: Collections,
  session: ClientSession,
  ...entries: StaffEntry[]
): Promise<void> {
  if (entries.length === 0) return;
  const { newStaffEntries, users } = collections;
  const accountIds = entries.flatMap(({ actor }) => (actor.kind === 'account' ? [actor.id] : []));
  const found = await users
    .find({ _id: { $in: accountIds } }, { projection: { email: 1, providerEmail: 1, name: 1 }, session })
    .toArray();
  // An account of the identity provider may have no address.
  const nameById = new Map(found.map((user) => [user._id, addressOf(user) ?? user.name]));
  const at = mongoClock.now();
  const records = entries.map(({ actor, from, requestId, action, subject, before, after }) => {
    const changed = changedFields(before, after);
    return {
      // Ids of one process are in the order in which they were made.
      _id: new mongo.ObjectId().toHexString(),
      at,
      actor: { ...actor, name: actor.name ?? nameById.get(actor.id) ?? null },
      ...{ from, requestId, action, subject },
      before: boundedJson(changed.before),
      after: boundedJson(changed.after),
    };
  });
  await insertAll(collections, newStaffEntries, records, session);
}

const numberedAtOnce = 200;

/** Appends the entries that have no number yet to the log, by their times. Safe in several processes at once. */
export async function numberStaffEntries(collections: Collections): Promise<void> {
  const { connection, newStaffEntries, staffLog } = collections;
  while (await newStaffEntries.findOne({}, { projection: { _id: 1 } })) {
    await transact(connection, async (session) => {
      const byTime = { sort: { at: 1, _id: 1 }, limit: numberedAtOnce, session } as const;
      const entries = await newStaffEntries.find({}, byTime).toArray();
      if (entries.length === 0) return;
      let previous = await staffLog.findOne({}, { sort: { _id: -1 }, session });
      const records = entries.map(({ _id, ...entry }) => {
        const number = Number(previous?._id ?? 0) + 1;
        const unhashed = { _id: String(number).padStart(numberDigits, '0'), ...entry };
        previous = { ...unhashed, hash: hashOfEntry(unhashed, previous?.hash ?? '') };
        return previous;
      });
      await insertAll(collections, staffLog, records, session);
      await newStaffEntries.deleteMany({ _id: { $in: entries.map(({ _id }) => _id) } }, { session });
    });
  }
}

/**
 * Runs changes of one thing one after the other in this process, because concurrent ones would only conflict. Those of other
 * processes are retried by `transact`.
 */
export const changeInTurn = openMutexes({ maxWaiting: 500, gapMs });

/**
 * Logs what changes nothing in MongoDB: a change of Redis or RabbitMQ, or an export. It is logged before it is done, so that
 * nothing is done without an entry; after a crash in between, the log has an entry of something that was not done.
 */
export async function logStaffAction(collections: Collections, entry: StaffEntry): Promise<void> {
  await transact(collections.connection, (session) => appendStaffEntry(collections, session, entry));
}

const numberDigits = 12;
const maxText = 500;
/** As many orders as one request may name. */
const maxListed = 500;
/** Maximum length of `before` and of `after`. */
const maxJson = 50_000;

function changedFields(
  before: object | null | undefined,
  after: object | null | undefined,
): { before: object | null; after: object | null } {
  if (!before || !after) return { before: before ?? null, after: after ?? null };
  const isChanged = (name: string) => !isDeepStrictEqual((before as Fields)[name], (after as Fields)[name]);
  const changed = (fields: object) =>
    Object.fromEntries(Object.entries(fields).filter(([name]) => isChanged(name)));
  return { before: changed(before), after: changed(after) };
}

type Fields = Record<string, unknown>;

/** JSON in which long texts and lists are cut off; what is too long even so is replaced by its length. */
function boundedJson(fields: object | null): string | null {
  if (fields === null) return null;
  const json = JSON.stringify(fields, (_name, value) => {
    if (typeof value === 'string' && value.length > maxText) return `${value.slice(0, maxText)}…`;
    if (Array.isArray(value) && value.length > maxListed)
      return [...value.slice(0, maxListed), `… ${value.length - maxListed} more`];
    return value;
  });
  return json.length > maxJson ? JSON.stringify({ omittedCharacters: json.length }) : json;
}

function hashOfEntry(entry: Omit<StaffEntryRecord, 'hash'>, previousHash: string): string {
  const { _id, at, actor, from, requestId, action, subject, before, after } = entry;
  const content = [
    ...[previousHash, _id, at.toISOString(), actor.kind, actor.id, actor.name, actor.role],
    ...[from, requestId, action, subject.kind, subject.id, before, after],
  ];
  return createHash('sha256').update(JSON.stringify(content)).digest('base64url');
}

/** The result of checking the hash chain. */
export interface StaffLogCheck {
  entries: number;
  /** The newest entry's hash; null when the log is empty. Whoever notes it elsewhere can prove a later edit of the past. */
  head: string | null;
  /** The first entry that does not follow from the one before it; null when all do. */
  broken: string | null;
  /** Entries of the last moment, which the chain does not protect yet. */
  unnumbered: number;
}

/** Reads the whole log and recomputes its hashes. */
export async function checkStaffLog(
  { staffLog, newStaffEntries }: Collections,
  session?: ClientSession,
): Promise<StaffLogCheck> {
  const unnumbered = await newStaffEntries.countDocuments({}, { ...(session && { session }) });
  const check: StaffLogCheck = { entries: 0, head: null, broken: null, unnumbered };
  for await (const entry of staffLog.find({}, { sort: { _id: 1 }, ...(session && { session }) })) {
    check.entries += 1;
    const follows =
      Number(entry._id) === check.entries && entry.hash === hashOfEntry(entry, check.head ?? '');
    if (!follows) check.broken ??= entry._id;
    check.head = entry.hash;
  }
  return check;
}
