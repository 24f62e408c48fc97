import bcrypt from 'bcrypt';
import { nanoid } from 'nanoid';
import { mongoClock } from '../runtime/clock.ts';
import { transact } from '../runtime/databases/transact.ts';
import type { Collections } from '../store/collections.ts';
import type { AccountMails } from './account-mail.ts';
import { dropTokens, redeemToken, subjectOfToken } from './one-time-token.ts';
import { type Revocation, revokeTokensOf } from './session.ts';
import { type Account, accountOf, findUserByEmail, isOfProvider, patienceMs } from './user.ts';

/** An account whose password was changed, and whose older access tokens are revoked. */
interface Changed {
  account: Account;
  revocation: Revocation;
}

/**
 * Mails a link with which the account's password can be replaced. For an unknown address it writes the same records, which
 * the mail sender drops, so that the time tells nothing about the address.
 */
export async function requestPasswordReset(
  collections: Collections,
  mails: AccountMails,
  email: string,
): Promise<void> {
  const record = await findUserByEmail(collections, email);
  const userId = record?._id ?? nanoid();
  const write = { patienceMs };
  await transact(
    collections.connection,
    (session) => mails.sendLink('reset-password', userId, session),
    write,
  );
}

/**
 * Replaces a forgotten password, ends every session, and takes the address as verified, because the link came by mail.
 * @returns null when the token is unknown, redeemed or expired.
 */
export async function resetPassword(
  collections: Collections,
  mails: AccountMails | null,
  { token, password }: { token: string; password: string },
  { bcryptCost }: { bcryptCost: number },
): Promise<Changed | null> {
  // Checked before the hash is computed, because guesses should cost nothing.
  if (!(await subjectOfToken(collections, 'reset-password', token))) return null;
  const passwordHash = await bcrypt.hash(password, bcryptCost);
  const changed = await transact(
    collections.connection,
    async (session) => {
      const userId = (await redeemToken(collections, 'reset-password', token, session))?.subject;
      const record = userId && (await collections.users.findOne({ _id: userId }, { session }));
      // Who signs in at the identity provider has no password to replace, and must not get one beside it.
      if (!record || isOfProvider(record)) return null;
      const emailVerifiedAt = record.emailVerifiedAt ?? mongoClock.now();
      await collections.users.updateOne(
        { _id: userId },
        { $set: { passwordHash, emailVerifiedAt } },
        { session },
      );
      await mails?.sendNotice('password-changed', userId, session);
      const revocation = await revokeTokensOf(collections, userId, { session });
      return { record: { ...record, emailVerifiedAt }, revocation };
    },
    { patienceMs },
  );
  return changed && { ...changed, account: await accountOf(collections, changed.record) };
}

/**
 * Changes the password and ends all other sessions.
 * @param sessionId the session that goes on.
 * @returns `wrong_password` when the old password is not the account's, `unknown` when the account is deleted.
 */
export async function changePassword(
  collections: Collections,
  mails: AccountMails | null,
  userId: string,
  { oldPassword, password }: { oldPassword: string; password: string },
  { bcryptCost, sessionId }: { bcryptCost: number; sessionId: string | undefined },
): Promise<Changed | 'wrong_password' | 'unknown'> {
  const { connection, users } = collections;
  const record = await users.findOne({ _id: userId });
  if (!record) return 'unknown';
  const { passwordHash: oldHash } = record;
  const isRight = Buffer.byteLength(oldPassword) <= 72 && (await bcrypt.compare(oldPassword, oldHash));
  if (!isRight) return 'wrong_password';
  const passwordHash = await bcrypt.hash(password, bcryptCost);
  const revocation = await transact(
    connection,
    async (session) => {
      // The old hash is compared again, because another request may have changed the password meanwhile.
      const { matchedCount } = await users.updateOne(
        { _id: userId, passwordHash: oldHash },
        { $set: { passwordHash } },
        { session },
      );
      if (matchedCount === 0) return null;
      await dropTokens(collections, { purpose: 'reset-password', subject: userId }, session);
      await mails?.sendNotice('password-changed', userId, session);
      return await revokeTokensOf(collections, userId, { session, except: sessionId });
    },
    { patienceMs },
  );
  return revocation ? { account: await accountOf(collections, record), revocation } : 'wrong_password';
}
