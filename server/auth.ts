import { createSecretKey, type KeyObject } from 'node:crypto';
import jwt from 'jsonwebtoken';
import { nanoid } from 'nanoid';
import { z } from 'zod';
import type { Role, User } from '../sale/contract.ts';

/** Who a token speaks for. */
export interface Identity {
  userId: string;
  role: Role;
}

export interface Tokens {
  /** A token for the API and the socket of this user. */
  issue(user: Pick<User, 'id' | 'role'>): string;
  /** A token with which a guest may watch; it opens nothing else. */
  issueVisitor(): string;
  /** @returns null for a token that is forged, expired, or not one of ours. */
  verify(token: string): Identity | null;
}

const claims = z.object({
  sub: z.string().min(1),
  role: z.enum(['visitor', 'buyer', 'admin']),
  exp: z.number(),
});
const issuer = 'stampede';
const audience = 'stampede';
const algorithm = 'HS256';

/** @param secret at least 32 characters. Kept as a KeyObject: as a string each verification would cost 50 times more. */
export function openTokens(secret: string, tokenSeconds: number): Tokens {
  const key: KeyObject = createSecretKey(Buffer.from(secret));
  const issue = ({ id, role }: { id: string; role: Role }) =>
    jwt.sign({ role }, key, { algorithm, issuer, audience, subject: id, expiresIn: tokenSeconds });
  return {
    issue,
    issueVisitor: () => issue({ id: `visitor-${nanoid()}`, role: 'visitor' }),
    verify(token) {
      try {
        // Without these demands the library also takes HS512 and tokens that never expire.
        const verified = claims.safeParse(
          jwt.verify(token, key, { algorithms: [algorithm], issuer, audience }),
        );
        return verified.success ? { userId: verified.data.sub, role: verified.data.role } : null;
      } catch {
        return null;
      }
    },
  };
}

/** @returns the token of an `Authorization: Bearer` header. */
export function bearerOf(header: string | undefined): string | null {
  const match = /^Bearer ([\w.-]{1,4096})$/i.exec(header ?? '');
  return match ? (match[1] as string) : null;
}
