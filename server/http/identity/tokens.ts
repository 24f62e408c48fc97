import { createSecretKey, type KeyObject } from 'node:crypto';
import jwt from 'jsonwebtoken';
import { LRUCache } from 'lru-cache';
import { nanoid } from 'nanoid';
import { z } from 'zod';
import { redisClock } from '../../../runtime/clock.ts';
import { readSigningKeys } from '../../../runtime/signing-keys.ts';
import { type Role, role, type User } from '../../../sale/contract.ts';

/** Who sends a request: the user whom a token identifies, or the server that an API key identifies. */
export interface Identity {
  /** Of the user, or of the API key. */
  userId: string;
  /** The person by whom this user's limits are counted. */
  personId: string;
  role: Role | 'api_key';
  /** Of the API key. */
  keyName?: string;
  /** Whether the owner of the address had confirmed it when the token was issued. */
  emailVerified: boolean;
  /** The session for which the token was issued. Unknown in a token of an earlier version. */
  sessionId: string | undefined;
}

export interface Tokens {
  /** A token for the API and the socket of this user. */
  issue(user: Pick<User, 'id' | 'role' | 'emailVerified'>, personId?: string, sessionId?: string): string;
  /** A token for the socket of a guest; it gives no other access. */
  issueVisitor(): string;
  /** @returns null when the token is forged, expired, revoked, or of another issuer. */
  verify(token: string): (Identity & { expiresAtMs: number }) | null;
  /** Revokes the tokens that were issued to this user or session before `atMs`. @returns false when they were already revoked. */
  revoke(id: string, atMs: number): boolean;
  /** Whether a token issued at this time, in seconds, to this user or session is revoked. */
  isRevoked(id: string, iat: number): boolean;
}

const claims = z.object({
  sub: z.string().min(1),
  role,
  /** Absent when it is the subject's own id. */
  person: z.string().min(1).optional(),
  /** Absent when the address is not verified. */
  email_verified: z.literal(true).optional(),
  sid: z.string().min(1).optional(),
  iat: z.number(),
  exp: z.number(),
});
const issuer = 'stampede';
const audience = 'stampede';
const algorithm = 'HS256';

/** Lifetime of a guest's token, which is long because it only gives access to public messages. */
const visitorTokenSeconds = 12 * 3_600;
/** Maximum number of verified tokens that a server caches; the least recently used one is evicted. */
const rememberedTokens = 20_000;

/** @param secrets as in `JWT_SECRET`: the first one signs, and all of them verify. */
export function openTokens(
  secrets: string,
  tokenSeconds: number,
  /** The longest lifetime of a token that a revocation concerns, which may be another issuer's. */
  revocableSeconds = tokenSeconds,
): Tokens {
  const keyring = openKeyring(secrets);
  /** Time of revocation by user and by session, in seconds, the latest last; removed when all older tokens have expired. */
  const revokedAt = new Map<string, number>();
  /** Cache of verified tokens, because verifying one at each request was an eighth of a server's work for a purchase. */
  const verified = new LRUCache<string, z.infer<typeof claims>>({ max: rememberedTokens });

  const isRevoked = (id: string, iat: number) => iat < (revokedAt.get(id) ?? 0);

  /** @throws when the token is forged, expired or of another issuer. */
  function claimsOf(token: string): z.infer<typeof claims> {
    const known = verified.get(token);
    if (known) return known;
    const key = keyring.keyOf(token);
    if (!key) throw new Error('signed with an unknown key');
    // Without these options and the schema, the library also accepts HS512 and tokens that never expire.
    const clockTimestamp = Math.floor(redisClock.now().getTime() / 1_000);
    const found = claims.parse(
      jwt.verify(token, key, { algorithms: [algorithm], issuer, audience, clockTimestamp }),
    );
    verified.set(token, found);
    return found;
  }

  function issue(
    { id, role, emailVerified }: Pick<User, 'id' | 'role' | 'emailVerified'>,
    {
      personId = id,
      sessionId,
      seconds = tokenSeconds,
    }: { personId?: string | undefined; sessionId?: string | undefined; seconds?: number } = {},
  ): string {
    // The fraction is kept, so that a token issued right after a revocation differs from one issued right before it.
    const iat = redisClock.now().getTime() / 1_000;
    const { kid, key } = keyring.signing;
    const optional = {
      ...(personId !== id && { person: personId }),
      ...(emailVerified && { email_verified: true }),
      ...(sessionId && { sid: sessionId }),
    };
    return jwt.sign({ role, ...optional, iat, exp: Math.floor(iat) + seconds }, key, {
      ...(kid && { keyid: kid }),
      ...{ algorithm, issuer, audience, subject: id },
    });
  }
  return {
    issue: (user, personId, sessionId) => issue(user, { personId, sessionId }),
    issueVisitor: () =>
      issue({ id: `visitor-${nanoid()}`, role: 'visitor' }, { seconds: visitorTokenSeconds }),
    verify(token) {
      try {
        const {
          sub,
          role,
          person = sub,
          email_verified: emailVerified = false,
          sid,
          iat,
          exp,
        } = claimsOf(token);
        const expiresAtMs = exp * 1_000;
        const isOver =
          expiresAtMs <= redisClock.now().getTime() ||
          isRevoked(sub, iat) ||
          (sid !== undefined && isRevoked(sid, iat));
        return isOver
          ? null
          : { userId: sub, personId: person, role, emailVerified, sessionId: sid, expiresAtMs };
      } catch {
        return null;
      }
    },
    isRevoked,
    revoke(id, atMs) {
      const oldest = redisClock.now().getTime() / 1_000 - revocableSeconds;
      for (const [one, at] of revokedAt) {
        if (at >= oldest) break;
        revokedAt.delete(one);
      }
      if (atMs / 1_000 <= (revokedAt.get(id) ?? oldest)) return false;
      revokedAt.delete(id);
      revokedAt.set(id, atMs / 1_000);
      return true;
    },
  };
}

/** Creates KeyObjects, because each verification with a string costs 50 times more. */
function openKeyring(secrets: string): {
  signing: { kid: string; key: KeyObject };
  keyOf(token: string): KeyObject | undefined;
} {
  const keys = readSigningKeys(secrets).map(({ kid, secret }) => ({
    kid,
    key: createSecretKey(Buffer.from(secret)),
  }));
  const signing = keys[0] as (typeof keys)[number];
  const keyById = new Map(keys.map(({ kid, key }) => [kid, key]));
  return {
    signing,
    keyOf(token) {
      // With a single key no lookup is needed, because the signature of another key fails.
      if (keys.length === 1) return signing.key;
      const { kid = '' } = JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString());
      return keyById.get(kid);
    },
  };
}

/** @returns the token of an `Authorization: Bearer` header. */
export function bearerOf(header: string | undefined): string | null {
  const match = /^Bearer ([\w.-]{1,4096})$/i.exec(header ?? '');
  return match ? (match[1] as string) : null;
}
