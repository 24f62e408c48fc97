import type { Collections, OrderRecord, SessionRecord, UserRecord } from './collections.ts';
import type { Order, User } from './contract.ts';
import { orderOf } from './order.ts';
import { findOrAddPerson } from './person.ts';
import { endSessionsOf } from './session.ts';
import { userOf } from './user.ts';

/** Everything the shop keeps about a person, except what the password's hash would give away. */
export interface AccountExport {
  user: User & { createdAt: string };
  /** Whose limits count, and what stays with a keyed hash of the address when the account is deleted. */
  personId: string;
  sessions: { createdAt: string; expiresAt: string }[];
  /** Newest first. */
  orders: Order[];
}

const exportedOrders = 10_000;
const exportedSessions = 1_000;

/** @returns null when there is no such account (any more). */
export async function exportAccount(
  { users, sessions, orders }: Collections,
  userId: string,
): Promise<AccountExport | null> {
  const [record, open, bought] = await Promise.all([
    users.findById(userId).lean<UserRecord>(),
    sessions.find({ userId }).limit(exportedSessions).lean<SessionRecord[]>(),
    orders
      .find({ buyerId: userId })
      .sort({ createdAt: -1, _id: -1 })
      .limit(exportedOrders)
      .lean<OrderRecord[]>(),
  ]);
  return (
    record && {
      user: { ...userOf(record), createdAt: record.createdAt.toISOString() },
      personId: record.personId ?? record._id,
      sessions: open.map(({ createdAt, expiresAt }) => ({
        createdAt: createdAt.toISOString(),
        expiresAt: expiresAt.toISOString(),
      })),
      orders: bought.map(orderOf),
    }
  );
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
