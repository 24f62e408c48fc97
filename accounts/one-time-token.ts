import { createHmac, randomBytes } from 'node:crypto';
import type { ClientSession } from 'mongoose';
import { mongoClock } from '../runtime/clock.ts';
import { readSigningKeys } from '../runtime/signing-keys.ts';
import type { Collections, OneTimeTokenRecord, TokenPurpose } from '../store/collections.ts';
import { hashOfSecret } from './secret.ts';

/**
 * A one-time token is the secret of a link. Where the link is mailed, whoever redeems it reads mail to that address. Its text is
 * `<id>.<secret>`. The secret is an HMAC of the id, so that the process that sends the mail can derive it, and MongoDB
 * stores its hash only.
 */
const tokenFormat = /^([\w-]{22})\.([\w-]{43})$/;

/** @param signingKeys as in `JWT_SECRET`. @returns a function that gives the secrets of an id, the current key's first. */
export function openTokenSecrets(signingKeys: string): (id: string) => string[] {
  const keys = readSigningKeys(signingKeys).map(({ secret }) =>
    createHmac('sha256', secret).update('one-time-tokens').digest(),
  );
  return (id) => keys.map((key) => createHmac('sha256', key).update(id).digest('base64url'));
}

export type TokenSecrets = ReturnType<typeof openTokenSecrets>;

/**
 * Creates a token, which replaces an earlier one with the same purpose and subject.
 * @param session of the transaction, which also writes the mail.
 * @returns the token's id.
 */
export async function issueToken(
  { oneTimeTokens }: Collections,
  {
    purpose,
    subject,
    seconds,
    isMailed,
  }: Pick<OneTimeTokenRecord, 'purpose' | 'subject' | 'isMailed'> & { seconds: number },
  secretsOf: TokenSecrets,
  session: ClientSession,
): Promise<string> {
  const id = randomBytes(16).toString('base64url');
  const now = mongoClock.now().getTime();
  await dropTokens({ oneTimeTokens }, { purpose, subject }, session);
  await oneTimeTokens.insertOne(
    {
      _id: id,
      purpose,
      subject,
      secretHash: hashOfSecret(secretsOf(id)[0] as string),
      ...(isMailed && { isMailed }),
      createdAt: new Date(now),
      expiresAt: new Date(now + seconds * 1_000),
    },
    { session },
  );
  return id;
}

/** @returns the text of an unredeemed token for its link; null when it is redeemed, expired, or its key was removed. */
export async function textOfToken(
  { oneTimeTokens }: Collections,
  id: string,
  secretsOf: TokenSecrets,
): Promise<string | null> {
  const record = await oneTimeTokens.findOne({ _id: id, ...isAlive() });
  const secret = secretsOf(id).find((one) => hashOfSecret(one) === record?.secretHash);
  return secret ? `${id}.${secret}` : null;
}

/** Whose token this is, without redeeming it; null when it is not valid. */
export async function subjectOfToken(
  { oneTimeTokens }: Collections,
  purpose: TokenPurpose,
  token: string,
): Promise<string | null> {
  return (await oneTimeTokens.findOne(filterOf(purpose, token)))?.subject ?? null;
}

/**
 * Redeems a token; of several attempts at once, one succeeds.
 * @param session of the transaction that also writes what the token allows.
 * @returns its record; null when it is unknown, redeemed, expired or for another purpose.
 */
export async function redeemToken(
  { oneTimeTokens }: Collections,
  purpose: TokenPurpose,
  token: string,
  session: ClientSession,
): Promise<OneTimeTokenRecord | null> {
  return await oneTimeTokens.findOneAndDelete(filterOf(purpose, token), { session });
}

/** Makes this subject's tokens invalid. */
export async function dropTokens(
  { oneTimeTokens }: Pick<Collections, 'oneTimeTokens'>,
  { purpose, subject }: Pick<OneTimeTokenRecord, 'purpose' | 'subject'>,
  session: ClientSession,
): Promise<void> {
  await oneTimeTokens.deleteMany({ subject, purpose }, { session });
}

function filterOf(purpose: TokenPurpose, token: string) {
  const [, id = '', secret = ''] = tokenFormat.exec(token) ?? [];
  return { _id: id, purpose, secretHash: hashOfSecret(secret), ...isAlive() };
}

const isAlive = () => ({ expiresAt: { $gt: mongoClock.now() } });
