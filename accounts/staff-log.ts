import { createHash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import type { ClientSession } from 'mongoose';
import { mongoClock } from '../runtime/clock.ts';
import { transact } from '../runtime/databases/transact.ts';
import { openMutex } from '../runtime/mutex.ts';
import { type Collections, insertAll } from '../store/collections.ts';
import type { ActorRecord, StaffEntryRecord } from '../store/staff-collections.ts';
import { addressOf } from './user.ts';

/**
 * The staff log: who changed what, from where, before and after. An entry is written in the same transaction as its change,
 * so that neither exists without the other, and no code changes or deletes one. Each entry has the hash of the one before
 * (a hash chain), so that editing, removing or inserting an entry afterwards breaks every later one: see `checkStaffLog`.
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

/**
 * Appends entries in the transaction of their change. Concurrent transactions conflict on the entry's number, so that one of
 * them is repeated: run them with `transactLogged`.
 */
export async function appendStaffEntry(
  collections: Collections,
  session: ClientSession,
  ...entries: StaffEntry[]
): Promise<void> {
  if (entries.length === 0) return;
  const { staffLog, users } = collections;
  const accountIds = entries.flatMap(({ actor }) => (actor.kind === 'account' ? [actor.id] : []));
  const found = await users
    .find({ _id: { $in: accountIds } }, { projection: { email: 1, providerEmail: 1, name: 1 }, session })
    .toArray();
  // An account of the identity provider may have no address.
  const nameById = new Map(found.map((user) => [user._id, addressOf(user) ?? user.name]));
  let previous = await staffLog.findOne({}, { sort: { _id: -1 }, session });
  const records = entries.map(({ actor, from, requestId, action, subject, before, after }) => {
    const changed = changedFields(before, after);
    const unhashed = {
      _id: String(Number(previous?._id ?? 0) + 1).padStart(numberDigits, '0'),
      at: mongoClock.now(),
      actor: { ...actor, name: actor.name ?? nameById.get(actor.id) ?? null },
      ...{ from, requestId, action, subject },
      before: boundedJson(changed.before),
      after: boundedJson(changed.after),
    };
    previous = { ...unhashed, hash: hashOf(unhashed, previous?.hash ?? '') };
    return previous;
  });
  await insertAll(collections, staffLog, records, session);
}

const exclusive = openMutex();

/**
 * Runs a transaction that appends to the log; in each process one at a time, because concurrent ones would only conflict.
 * Those of other processes are retried.
 */
export const transactLogged: typeof transact = (connection, work, patience) =>
  exclusive(() => transact(connection, work, patience));

/**
 * Logs what changes nothing in MongoDB: a change of Redis or RabbitMQ, or an export. It is logged before it is done, so that
 * nothing is done without an entry; after a crash in between, the log has an entry of something that was not done.
 */
export async function logStaffAction(collections: Collections, entry: StaffEntry): Promise<void> {
  await transactLogged(collections.connection, (session) => appendStaffEntry(collections, session, entry));
}

const numberDigits = 12;
const maxText = 500;
const maxListed = 50;
/** Maximum length of `before` and of `after`. */
const maxJson = 10_000;

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

function hashOf(entry: Omit<StaffEntryRecord, 'hash'>, previousHash: string): string {
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
}

/** Reads the whole log and recomputes its hashes. */
export async function checkStaffLog(
  { staffLog }: Collections,
  session?: ClientSession,
): Promise<StaffLogCheck> {
  const check: StaffLogCheck = { entries: 0, head: null, broken: null };
  for await (const entry of staffLog.find({}, { sort: { _id: 1 }, ...(session && { session }) })) {
    check.entries += 1;
    const follows = Number(entry._id) === check.entries && entry.hash === hashOf(entry, check.head ?? '');
    if (!follows) check.broken ??= entry._id;
    check.head = entry.hash;
  }
  return check;
}
