import type { AccountExport, Order, OrderPage } from '../sale/contract.ts';
import { listOrders, type QueuedPurchases } from '../sale/order.ts';
import type { Collections } from '../store/collections.ts';
import { findOrAddPerson } from './person.ts';
import { endSessionsOf } from './session.ts';
import { userOf } from './user.ts';

const ordersAtOnce = 500;

/** An account's export with lists that are streamed, because they can be long. */
export interface AccountReading extends Pick<AccountExport, 'user' | 'personId'> {
  sessions: AsyncIterable<AccountExport['sessions'][number]>;
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
      orders: readOrders(collections, userId, queued),
    }
  );
}

async function* readSessions({ sessions }: Collections, userId: string) {
  for await (const { createdAt, expiresAt, userAgent = '' } of sessions.find({ userId })) {
    yield { createdAt: createdAt.toISOString(), expiresAt: expiresAt.toISOString(), userAgent };
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
 * Deletes name, address, password and sessions. The orders stay for bookkeeping under the anonymous user id, and the keyed
 * hash of the address stays with it, so that a new account with the same address has no second limit.
 */
export async function deleteAccount(collections: Collections, userId: string): Promise<boolean> {
  const record = await collections.users.findOne({ _id: userId });
  if (!record) return false;
  // The account of an earlier version may have no person yet, and it can be added only while the address is known.
  await findOrAddPerson(collections, { email: record.email, accountId: record.personId ?? userId });
  const { deletedCount } = await collections.users.deleteOne({ _id: userId });
  await endSessionsOf(collections, userId);
  await collections.oneTimeTokens.deleteMany({ subject: userId });
  return deletedCount === 1;
}
