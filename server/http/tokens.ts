import { createSecretKey, type KeyObject } from 'node:crypto';
import jwt from 'jsonwebtoken';
import { LRUCache } from 'lru-cache';
import { nanoid } from 'nanoid';
import { z } from 'zod';
import { redisClock } from '../../runtime/clock.ts';
import { readSigningKeys } from '../../runtime/signing-keys.ts';
import { type Role, role, type User } from '../../sale/contract.ts';

/** Who a token speaks for. */
export interface Identity {
  userId: string;
  /** Whose limits count for this user. */
  personId: string;
  role: Role;
}

export interface Tokens {
  /** A token for the API and the socket of this user. */
  issue(user: Pick<User, 'id' | 'role'>, personId?: string): string;
  /** A token with which a guest may watch; it opens nothing else. */
  issueVisitor(): string;
  /** @returns null for a token that is forged, expired, revoked, or not one of ours. */
  verify(token: string): (Identity & { expiresAtMs: number }) | null;
  /** From now on refuses the tokens that this user was issued before `atMs`. @returns false when it did already. */
  revoke(userId: string, atMs: number): boolean;
}

const claims = z.object({
  sub: z.string().min(1),
  role,
  /** Absent when it is the subject's own id. */
  person: z.string().min(1).optional(),
  iat: z.number(),
  exp: z.number(),
});
const issuer = 'stampede';
const audience = 'stampede';
const algorithm = 'HS256';

/** A visitor's token opens nothing but the watching. */
const visitorTokenSeconds = 12 * 3_600;
/** Tokens that a server remembers to be good; the oldest is forgotten for the next one. */
const rememberedTokens = 20_000;

/** @param secrets as in `JWT_SECRET`: the first one signs, each of them is believed. */
export function openTokens(secrets: string, tokenSeconds: number): Tokens {
  const keyring = openKeyring(secrets);
  /** By user, in seconds. Bounded: an entry is of no use when the tokens it refuses have expired. */
  const revokedAt = new Map<string, number>();
  /** A buyer sends the same token with each request, and verifying it was an eighth of a server's work for a purchase. */
  const verified = new LRUCache<string, z.infer<typeof claims>>({ max: rememberedTokens });

  /** @throws when the token is forged, expired or not one of ours. */
  function claimsOf(token: string): z.infer<typeof claims> {
    const known = verified.get(token);
    if (known) return known;
    const key = keyring.keyOf(token);
    if (!key) throw new Error('signed with an unknown key');
    // Without these demands the library also takes HS512 and tokens that never expire.
    const clockTimestamp = Math.floor(redisClock.now().getTime() / 1_000);
    const found = claims.parse(
      jwt.verify(token, key, { algorithms: [algorithm], issuer, audience, clockTimestamp }),
    );
    verified.set(token, found);
    return found;
  }

  function issue(
    { id, role }: { id: string; role: Role },
    { personId = id, seconds = tokenSeconds }: { personId?: string | undefined; seconds?: number } = {},
  ): string {
    // With its fraction: a token issued right after a revocation is told from one issued right before it.
    const iat = redisClock.now().getTime() / 1_000;
    const { kid, key } = keyring.signing;
    const person = personId === id ? {} : { person: personId };
    return jwt.sign({ role, ...person, iat, exp: Math.floor(iat) + seconds }, key, {
      ...(kid && { keyid: kid }),
      ...{ algorithm, issuer, audience, subject: id },
    });
  }
  return {
    issue: (user, personId) => issue(user, { personId }),
    issueVisitor: () =>
      issue({ id: `visitor-${nanoid()}`, role: 'visitor' }, { seconds: visitorTokenSeconds }),
    verify(token) {
      try {
        const { sub, role, person = sub, iat, exp } = claimsOf(token);
        const expiresAtMs = exp * 1_000;
        const isOver = expiresAtMs <= redisClock.now().getTime() || iat < (revokedAt.get(sub) ?? 0);
        return isOver ? null : { userId: sub, personId: person, role, expiresAtMs };
      } catch {
        return null;
      }
    },
    revoke(userId, atMs) {
      const oldest = redisClock.now().getTime() / 1_000 - tokenSeconds;
      for (const [id, at] of revokedAt) if (at < oldest) revokedAt.delete(id);
      if (atMs / 1_000 <= (revokedAt.get(userId) ?? oldest)) return false;
      revokedAt.set(userId, atMs / 1_000);
      return true;
    },
  };
}

/** Keys as KeyObjects: with a string each verification would cost 50 times more. */
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
      // With one key there is nothing to look up: a token of another key fails by its signature.
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
