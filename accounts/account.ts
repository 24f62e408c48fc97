import type { AccountExport, Order, OrderPage } from '../sale/contract.ts';
import { listOrders, type QueuedPurchases } from '../sale/order.ts';
import type { Collections } from '../store/collections.ts';
import { findOrAddPerson } from './person.ts';
import { endSessionsOf } from './session.ts';
import { isLastAdmin, transactOnAdmins } from './staff.ts';
import { appendStaffEntry, type By } from './staff-log.ts';
import { userOf } from './user.ts';

const ordersAtOnce = 500;

/** An account's export with lists that are streamed, because they can be long. */
export interface AccountReading extends Pick<AccountExport, 'user' | 'personId'> {
  sessions: AsyncIterable<AccountExport['sessions'][number]>;
  networks: AsyncIterable<AccountExport['networks'][number]>;
  notes: AsyncIterable<AccountExport['notes'][number]>;
  marks: AsyncIterable<AccountExport['marks'][number]>;
  places: AsyncIterable<AccountExport['places'][number]>;
  orders: AsyncIterable<Order>;
}

/** @returns null when the account does not exist. */
export async function exportAccount(
  collections: Collections,
  userId: string,
  queued: QueuedPurchases,
): Promise<AccountReading | null> {
  const record = await collections.users.findOne({ _id: userId });
  return (
    record && {
      user: {
        ...userOf(record),
        createdAt: record.createdAt.toISOString(),
        emailVerifiedAt: record.emailVerifiedAt?.toISOString() ?? null,
      },
      personId: record.personId ?? record._id,
      sessions: readSessions(collections, userId),
      networks: readNetworks(collections, userId),
      notes: readNotes(collections, userId),
      marks: readMarks(collections, userId),
      places: readPlaces(collections, userId),
      orders: readOrders(collections, userId, queued),
    }
  );
}

async function* readSessions({ sessions }: Collections, userId: string) {
  for await (const { createdAt, expiresAt, userAgent = '' } of sessions.find({ userId })) {
    yield { createdAt: createdAt.toISOString(), expiresAt: expiresAt.toISOString(), userAgent };
  }
}

async function* readNetworks({ accountNetworks }: Collections, userId: string) {
  for await (const { networkKey, seenAt } of accountNetworks.find({ userId }))
    yield { networkKey, seenAt: seenAt.toISOString() };
}

async function* readNotes({ orderNotes }: Collections, buyerId: string) {
  for await (const { _id: orderId, notes } of orderNotes.find({ buyerId }))
    for (const { text, at } of notes) yield { orderId, text, at: at.toISOString() };
}

async function* readMarks({ suspects }: Collections, buyerId: string) {
  for await (const { _id: orderId, networkKey, markedAt } of suspects.find({ buyerId }))
    yield { orderId, networkKey, markedAt: markedAt.toISOString() };
}

async function* readPlaces({ places }: Collections, buyerId: string) {
  for await (const { saleId, lines, state, pseudonym = '', networkKey, joinedAt } of places.find({
    buyerId,
  })) {
    const network = networkKey === undefined ? {} : { networkKey };
    yield { saleId, lines, state, pseudonym, ...network, joinedAt: joinedAt.toISOString() };
  }
}

/** Reads page by page, so that no MongoDB cursor stays open while the client reads slowly. */
async function* readOrders(
  collections: Collections,
  buyerId: string,
  queued: QueuedPurchases,
): AsyncGenerator<Order> {
  let cursor: string | null | undefined;
  while (cursor !== null) {
    const page: OrderPage = await listOrders(collections, { buyerId, cursor, limit: ordersAtOnce }, queued);
    yield* page.orders;
    cursor = page.nextCursor;
  }
}

/**
 * Deletes name, address, password, sessions, networks and the staff's notes. The orders stay for bookkeeping under the
 * anonymous user id, and the keyed hash of the address stays with it, so that a new account with the same address has no
 * second limit.
 * @returns whether there was such an account; `last_admin` when no admin would be left.
 */
export async function deleteAccount(
  collections: Collections,
  userId: string,
  by: By,
): Promise<boolean | 'last_admin'> {
  const { users, places } = collections;
  const record = await users.findOne({ _id: userId });
  if (!record) return false;
  // The account of an earlier version may have no person yet, and it can be added only while the address is known.
  if (!record.personId) await findOrAddPerson(collections, { email: record.email, accountId: userId });
  const isDeleted = await transactOnAdmins(collections, async (session) => {
    const found = await users.findOne({ _id: userId }, { session });
    if (!found) return false;
    const { role } = found;
    if (await isLastAdmin(collections, found, session)) return 'last_admin';
    const entry = { ...by, action: 'staff.left', subject: { kind: 'account', id: userId } };
    if (role !== 'buyer') await appendStaffEntry(collections, session, { ...entry, before: { role } });
    await users.deleteOne({ _id: userId }, { session });
    // Also of a draw whose entries are fixed: the entry stays in its list, and is offered nothing. Whoever is inside stays
    // counted until their pass expires, because the pass opens another site until then.
    // The places are named by their ids, which tell a sharded MongoDB where they are.
    const ids = await places.distinct('_id', { buyerId: userId });
    const waiting = { _id: { $in: ids }, state: { $in: ['waiting' as const, 'called' as const] } };
    await places.updateMany(waiting, { $set: { state: 'left' } }, { session });
    await places.updateMany({ _id: { $in: ids } }, { $unset: { networkKey: '' } }, { session });
    return true;
  });
  if (isDeleted === 'last_admin') return isDeleted;
  await collections.accountNetworks.deleteMany({ userId });
  await collections.orderNotes.deleteMany({ buyerId: userId });
  await endSessionsOf(collections, userId);
  await collections.oneTimeTokens.deleteMany({ subject: userId });
  return isDeleted;
}
