import { mongoClock } from '../runtime/clock.ts';
import { transact } from '../runtime/databases/transact.ts';
import type { Collections } from '../store/collections.ts';
import type { AccountMails } from './account-mail.ts';
import { redeemToken } from './one-time-token.ts';
import { patienceMs } from './user.ts';

/** Mails a link that verifies the account's address. @returns whether it was needed; null when there is no account. */
export async function requestVerification(
  collections: Collections,
  mails: AccountMails,
  userId: string,
): Promise<'sent' | 'verified_before' | null> {
  const record = await collections.users.findOne({ _id: userId }, { projection: { emailVerifiedAt: 1 } });
  if (!record) return null;
  if (record.emailVerifiedAt) return 'verified_before';
  await transact(collections.connection, (session) => mails.sendLink('verify-email', userId, session), {
    patienceMs,
  });
  return 'sent';
}

/** @returns whether the token was valid; access tokens say that the address is verified from their next renewal on. */
export async function verifyEmail(collections: Collections, token: string): Promise<boolean> {
  const { connection, users } = collections;
  return await transact(
    connection,
    async (session) => {
      const redeemed = await redeemToken(collections, 'verify-email', token, session);
      if (redeemed === null) return false;
      const verified = { $set: { emailVerifiedAt: mongoClock.now() } };
      const { matchedCount } = await users.updateOne({ _id: redeemed.subject }, verified, { session });
      return matchedCount === 1;
    },
    { patienceMs },
  );
}
