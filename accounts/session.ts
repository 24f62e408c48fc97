import { createHash, randomBytes } from 'node:crypto';
import { trusted } from 'mongoose';
import { mongoClock, redisClock } from '../runtime/clock.ts';
import type { Collections, ExpulsionRecord, SessionRecord, UserRecord } from '../store/collections.ts';
import { type Account, accountOf } from './user.ts';

/**
 * A session is what a sign-in begins. Its token, `<id>.<secret>`, is good for one renewal, which gives the next one;
 * only the hash of the latest secret is kept. A secret that comes a second time was copied by somebody, and nobody
 * can say by whom: the session ends for both.
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
  await sessions.create({
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
  /** A token that was used before came again: whoever holds the session, it is over. */
  | { outcome: 'reused'; userId: string }
  | { outcome: 'unknown' };

/** Changes a token for the next one, exactly once, however many ask at the same time. */
export async function renewSession(collections: Collections, token: string): Promise<Renewal> {
  const { sessions, users } = collections;
  const [, id, secret] = tokenFormat.exec(token) ?? [];
  if (!id || !secret) return { outcome: 'unknown' };
  const next = newSecret();
  const renewed = await sessions
    .findOneAndUpdate(
      { _id: id, secretHash: hashOf(secret), expiresAt: trusted({ $gt: mongoClock.now() }) },
      { $set: { secretHash: hashOf(next) } },
      { returnDocument: 'after' },
    )
    .lean<SessionRecord>();
  if (!renewed) {
    // Ids are never shown without a secret: whoever knows one had a token of this session.
    const ended = await sessions.findOneAndDelete({ _id: id }).lean<SessionRecord>();
    return ended && ended.expiresAt > mongoClock.now()
      ? { outcome: 'reused', userId: ended.userId }
      : { outcome: 'unknown' };
  }
  const record = await users.findById(renewed.userId).lean<UserRecord>();
  if (!record) return { outcome: 'unknown' };
  return {
    outcome: 'renewed',
    account: await accountOf(collections, record),
    token: `${id}.${next}`,
    expiresAt: renewed.expiresAt,
  };
}

/** Ends the session of this token. Ending what is over changes nothing. */
export async function endSession({ sessions }: Collections, token: string): Promise<void> {
  const [, id, secret] = tokenFormat.exec(token) ?? [];
  if (id && secret) await sessions.deleteOne({ _id: id });
}

/** Who is refused the access tokens that were issued before a time. */
export interface Expulsion {
  userId: string;
  atMs: number;
}

/** Ends every session of this user, and keeps for all servers that their access tokens are over as well. */
export async function expelUser(collections: Collections, userId: string): Promise<Expulsion> {
  // The clock that tokens are issued by.
  const at = redisClock.now();
  await collections.expulsions.updateOne({ _id: userId }, { $max: { at } }, { upsert: true });
  await endSessionsOf(collections, userId);
  return { userId, atMs: at.getTime() };
}

const listedExpulsions = 10_000;

/** Those after this time, the newest 10,000 of them; a server looks so often that there are never as many. */
export async function listExpulsions({ expulsions }: Collections, after: Date): Promise<Expulsion[]> {
  const found = await expulsions
    .find({ at: trusted({ $gt: after }) })
    .sort({ at: -1 })
    .limit(listedExpulsions)
    .lean<ExpulsionRecord[]>();
  return found.map(({ _id: userId, at }) => ({ userId, atMs: at.getTime() }));
}

export async function endSessionsOf({ sessions }: Collections, userId: string): Promise<void> {
  await sessions.deleteMany({ userId });
}

const newSecret = () => randomBytes(32).toString('base64url');
/** Not bcrypt: nobody guesses 256 random bits. */
const hashOf = (secret: string) => createHash('sha256').update(secret).digest('base64url');
