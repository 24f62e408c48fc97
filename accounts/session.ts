import { randomBytes } from 'node:crypto';
import type { ClientSession } from 'mongoose';
import { mongoClock, redisClock } from '../runtime/clock.ts';
import { transact } from '../runtime/databases/transact.ts';
import type { Collections, SessionRecord } from '../store/collections.ts';
import { hashOfSecret } from './secret.ts';
import { type Account, accountOf, isOfProvider } from './user.ts';

/**
 * A session begins at sign-in. Its refresh token, `<id>.<secret>`, is valid for one renewal, which returns the next token;
 * only the hash of the latest secret is stored. A reused token was copied (refresh token reuse), so the session is ended
 * for both holders.
 */
const tokenFormat = /^([\w-]{22})\.([\w-]{43})$/;

/** Staff of the identity provider sign in again after this time, so that a role that was taken away there ends here. */
export const providerStaffSeconds = 12 * 3_600;

/** @returns the session's first token, and its id. */
export async function beginSession(
  { sessions }: Collections,
  userId: string,
  { seconds, userAgent }: { seconds: number; userAgent?: string | undefined },
): Promise<{ id: string; token: string; expiresAt: Date }> {
  const id = randomBytes(16).toString('base64url');
  const secret = newSecret();
  const now = mongoClock.now().getTime();
  const expiresAt = new Date(now + seconds * 1_000);
  await sessions.insertOne({
    _id: id,
    userId,
    secretHash: hashOfSecret(secret),
    ...(userAgent && { userAgent: userAgent.slice(0, 300) }),
    createdAt: new Date(now),
    expiresAt,
  });
  return { id, token: `${id}.${secret}`, expiresAt };
}

export type Renewal =
  | { outcome: 'renewed'; account: Account; id: string; token: string; expiresAt: Date }
  /** The token had been used before, so the session was ended. */
  | { outcome: 'reused'; userId: string }
  | { outcome: 'unknown' };

/** Exchanges a token for the next one; of concurrent requests with the same token only one succeeds. */
export async function renewSession(collections: Collections, token: string): Promise<Renewal> {
  const { sessions, users } = collections;
  const [, id, secret] = tokenFormat.exec(token) ?? [];
  if (!id || !secret) return { outcome: 'unknown' };
  const next = newSecret();
  const renewed = await sessions.findOneAndUpdate(
    { _id: id, secretHash: hashOfSecret(secret), expiresAt: { $gt: mongoClock.now() } },
    { $set: { secretHash: hashOfSecret(next), renewedAt: mongoClock.now() } },
    { returnDocument: 'after' },
  );
  if (!renewed) {
    // A session's id is only known from one of its tokens, so this is an old token of the session.
    const ended = await sessions.findOneAndDelete({ _id: id });
    return ended && ended.expiresAt > mongoClock.now()
      ? { outcome: 'reused', userId: ended.userId }
      : { outcome: 'unknown' };
  }
  const record = await users.findOne({ _id: renewed.userId });
  if (!record) return { outcome: 'unknown' };
  const ageMs = mongoClock.now().getTime() - renewed.createdAt.getTime();
  // Such a session may have begun before the role was given.
  if (isOfProvider(record) && record.role !== 'buyer' && ageMs >= providerStaffSeconds * 1_000) {
    await sessions.deleteOne({ _id: id });
    return { outcome: 'unknown' };
  }
  return {
    outcome: 'renewed',
    account: await accountOf(collections, record),
    id,
    token: `${id}.${next}`,
    expiresAt: renewed.expiresAt,
  };
}

/** Ends the session of this token; a token that is not its latest ends nothing. Idempotent. */
export async function endSession({ sessions }: Collections, token: string): Promise<void> {
  const [, id, secret] = tokenFormat.exec(token) ?? [];
  if (id && secret) await sessions.deleteOne({ _id: id, secretHash: hashOfSecret(secret) });
}

const listedSessions = 100;

/** The newest sessions of a user that have not expired, at most 100; `more` says whether there are others. */
export async function listSessions(
  { sessions }: Collections,
  userId: string,
): Promise<{ sessions: SessionRecord[]; more: boolean }> {
  const found = await sessions
    .find({ userId, expiresAt: { $gt: mongoClock.now() } })
    .sort({ createdAt: -1 })
    .limit(listedSessions + 1)
    .toArray();
  return { sessions: found.slice(0, listedSessions), more: found.length > listedSessions };
}

/** Access tokens that were issued before a time, and are refused. */
export interface Revocation {
  /** Whose they are: a user's id, or a session's. */
  userId: string;
  atMs: number;
}

interface Within {
  /** Of the transaction. */
  session?: ClientSession;
  /** A session that goes on. */
  except?: string | undefined;
}

/** Ends every session of this user, and stores for all servers that their access tokens are revoked. */
export async function revokeTokensOf(
  collections: Collections,
  userId: string,
  { session, except }: Within = {},
): Promise<Revocation> {
  const revocation = await revoke(collections, userId, session);
  const others = except === undefined ? {} : { _id: { $ne: except } };
  await collections.sessions.deleteMany({ userId, ...others }, { ...(session && { session }) });
  return revocation;
}

/** Ends one of this user's sessions, and its access tokens. @returns null when there is no such session. */
export async function revokeSession(
  collections: Collections,
  userId: string,
  sessionId: string,
): Promise<Revocation | null> {
  const { connection, sessions } = collections;
  return await transact(
    connection,
    async (session) => {
      const { deletedCount } = await sessions.deleteOne({ _id: sessionId, userId }, { session });
      return deletedCount === 0 ? null : await revoke(collections, sessionId, session);
    },
    { patienceMs: 2_000 },
  );
}

async function revoke(
  { expulsions }: Collections,
  id: string,
  session: ClientSession | undefined,
): Promise<Revocation> {
  // Redis' clock, because tokens are issued by it.
  const at = redisClock.now();
  await expulsions.updateOne({ _id: id }, { $max: { at } }, { upsert: true, ...(session && { session }) });
  return { userId: id, atMs: at.getTime() };
}

/** Yields the revocations after this time, the oldest first, in batches of the driver. */
export async function* listRevocations({ expulsions }: Collections, after: Date): AsyncGenerator<Revocation> {
  for await (const { _id: userId, at } of expulsions.find({ at: { $gt: after } }, { sort: { at: 1 } }))
    yield { userId, atMs: at.getTime() };
}

export async function endSessionsOf({ sessions }: Collections, userId: string): Promise<void> {
  await sessions.deleteMany({ userId });
}

const newSecret = () => randomBytes(32).toString('base64url');
