import type { AccountExport, Order, OrderPage } from '../sale/contract.ts';
import { listOrders, type QueuedPurchases } from '../sale/order.ts';
import type { Collections, SessionRecord, UserRecord } from '../store/collections.ts';
import { findOrAddPerson } from './person.ts';
import { endSessionsOf } from './session.ts';
import { userOf } from './user.ts';

const ordersAtOnce = 500;

/** An account's export, whose lists are read as they are asked for, however long they are. */
export interface AccountReading extends Pick<AccountExport, 'user' | 'personId'> {
  sessions: AsyncIterable<AccountExport['sessions'][number]>;
  orders: AsyncIterable<Order>;
}

/**
 * @returns null when there is no such account (any more).
 */
export async function exportAccount(
  collections: Collections,
  userId: string,
  queued: QueuedPurchases,
): Promise<AccountReading | null> {
  const record = await collections.users.findById(userId).lean<UserRecord>();
  return (
    record && {
      user: { ...userOf(record), createdAt: record.createdAt.toISOString() },
      personId: record.personId ?? record._id,
      sessions: readSessions(collections, userId),
      orders: readOrders(collections, userId, queued),
    }
  );
}

async function* readSessions({ sessions }: Collections, userId: string) {
  for await (const { createdAt, expiresAt } of sessions.find({ userId }).lean<SessionRecord[]>().cursor()) {
    yield { createdAt: createdAt.toISOString(), expiresAt: expiresAt.toISOString() };
  }
}

/** Page by page, so that no cursor stays open in MongoDB while whoever reads them takes their time. */
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
 * Forgets name, address, password and sessions. The orders stay, as the books need them, under an id that now stands for
 * nobody; and the keyed hash of the address with that id, so that a sale's limit outlives the account.
 */
export async function deleteAccount(collections: Collections, userId: string): Promise<boolean> {
  const record = await collections.users.findById(userId).lean<UserRecord>();
  if (!record) return false;
  // While the address is still known: the account of a version before may have no person yet.
  await findOrAddPerson(collections, { email: record.email, accountId: record.personId ?? userId });
  const { deletedCount } = await collections.users.deleteOne({ _id: userId });
  await endSessionsOf(collections, userId);
  return deletedCount === 1;
}
