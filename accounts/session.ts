import { createHash, randomBytes } from 'node:crypto';
import { mongoClock, redisClock } from '../runtime/clock.ts';
import type { Collections } from '../store/collections.ts';
import { type Account, accountOf } from './user.ts';

/**
 * A session begins at sign-in. Its refresh token, `<id>.<secret>`, is valid for one renewal, which returns the next token;
 * only the hash of the latest secret is stored. A reused token was copied (refresh token reuse), so the session is ended
 * for both holders.
 */
const tokenFormat = /^([\w-]{22})\.([\w-]{43})$/;

/** @returns the session's first token. */
export async function beginSession(
  { sessions }: Collections,
  userId: string,
  { seconds }: { seconds: number },
): Promise<string> {
  const id = randomBytes(16).toString('base64url');
  const secret = newSecret();
  const now = mongoClock.now().getTime();
  await sessions.insertOne({
    _id: id,
    userId,
    secretHash: hashOf(secret),
    createdAt: new Date(now),
    expiresAt: new Date(now + seconds * 1_000),
  });
  return `${id}.${secret}`;
}

export type Renewal =
  | { outcome: 'renewed'; account: Account; token: string; expiresAt: Date }
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
    { _id: id, secretHash: hashOf(secret), expiresAt: { $gt: mongoClock.now() } },
    { $set: { secretHash: hashOf(next) } },
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
  return {
    outcome: 'renewed',
    account: await accountOf(collections, record),
    token: `${id}.${next}`,
    expiresAt: renewed.expiresAt,
  };
}

/** Ends the session of this token. Idempotent. */
export async function endSession({ sessions }: Collections, token: string): Promise<void> {
  const [, id, secret] = tokenFormat.exec(token) ?? [];
  if (id && secret) await sessions.deleteOne({ _id: id });
}

/** Who is refused the access tokens that were issued before a time. */
export interface Revocation {
  userId: string;
  atMs: number;
}

/** Ends every session of this user, and stores for all servers that their access tokens are revoked. */
export async function revokeTokensOf(collections: Collections, userId: string): Promise<Revocation> {
  // Redis' clock, because tokens are issued by it.
  const at = redisClock.now();
  await collections.expulsions.updateOne({ _id: userId }, { $max: { at } }, { upsert: true });
  await endSessionsOf(collections, userId);
  return { userId, atMs: at.getTime() };
}

const maxListed = 10_000;

/** Revocations after this time, at most the newest 10,000; servers poll often enough that there are never so many. */
export async function listRevocations({ expulsions }: Collections, after: Date): Promise<Revocation[]> {
  const found = await expulsions
    .find({ at: { $gt: after } })
    .sort({ at: -1 })
    .limit(maxListed)
    .toArray();
  return found.map(({ _id: userId, at }) => ({ userId, atMs: at.getTime() }));
}

export async function endSessionsOf({ sessions }: Collections, userId: string): Promise<void> {
  await sessions.deleteMany({ userId });
}

const newSecret = () => randomBytes(32).toString('base64url');
/** A fast hash suffices, because 256 random bits cannot be guessed. */
const hashOf = (secret: string) => createHash('sha256').update(secret).digest('base64url');
