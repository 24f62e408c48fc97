import { createHmac, hash, timingSafeEqual } from 'node:crypto';
import { redisClock } from '../../runtime/clock.ts';
import { readSigningKeys } from '../../runtime/signing-keys.ts';
import type { Puzzle } from '../contract.ts';

/**
 * Proof of work, so that a thousand accounts cost a thousand times as much as one. A puzzle is not stored: it carries its end,
 * its difficulty and our signature over both and its subject, which is a person in a sale, or an address at the sign-up. So
 * nobody else can use the answer, nor for another sale, nor later; the same person can until it ends, which the limit of each
 * person bounds.
 *
 *   puzzle   `<end, Unix ms in base 36>-<zero bits>-<HMAC-SHA-256 of "end\nbits\nsubject", 22 characters of base64url>`
 *   answer   `<puzzle>.<nonce>` whose SHA-256 begins with so many zero bits, in the header Proof-Of-Work
 */
export interface Puzzles {
  /** When the answer to a puzzle that is given now expires: in two to four minutes. */
  end(): Date;
  /** The puzzle for a subject; the same one until its end changes. */
  give(subject: string, difficultyBits: number): Puzzle;
  /**
   * Whether this is an answer to a puzzle that was given for this subject, at the difficulty of that time.
   * @param leastBits what a puzzle has to have, however easy it was when it was given.
   */
  isAnswer(subject: string, answer: string | undefined, leastBits?: number): boolean;
}

/** No id of a person or a sale contains a line feed. */
export const subjectOf = (saleId: string, personId: string) => `sale\n${saleId}\n${personId}`;
export const subjectOfSignUp = (email: string) => `sign-up\n${email}`;

/** A solver begins before the opening, and its answer has to last until a slow press of the button. */
const windowMs = 120_000;
const format = /^(([0-9a-z]{1,12})-(\d{1,2})-([\w-]{22}))\.\w{1,32}$/;

/** @param secrets as in `JWT_SECRET`: the first one signs, and all of them verify. */
export function openPuzzles(secrets: string): Puzzles {
  const keys = readSigningKeys(secrets).map(({ secret }) => {
    return createHmac('sha256', secret).update('puzzles').digest();
  });
  const sign = (key: Buffer, end: string, bits: string, subject: string) =>
    createHmac('sha256', key).update(`${end}\n${bits}\n${subject}`).digest().subarray(0, 16);
  const end = () => new Date((Math.floor(redisClock.now().getTime() / windowMs) + 2) * windowMs);
  return {
    end,
    give(subject, difficultyBits) {
      const expiresAt = end();
      const [until, bits] = [expiresAt.getTime().toString(36), String(difficultyBits)];
      const signature = sign(keys[0] as Buffer, until, bits, subject).toString('base64url');
      return {
        challenge: `${until}-${bits}-${signature}`,
        difficultyBits,
        expiresAt: expiresAt.toISOString(),
      };
    },
    isAnswer(subject, answer, leastBits = 0) {
      const [, , until, bits, signature] = format.exec(answer ?? '') ?? [];
      if (!answer || !until || !bits || !signature || Number(bits) < leastBits) return false;
      if (Number.parseInt(until, 36) <= redisClock.now().getTime()) return false;
      const theirs = Buffer.from(signature, 'base64url');
      if (!keys.some((key) => timingSafeEqual(sign(key, until, bits, subject), theirs))) return false;
      return zeroBitsOf(hash('sha256', answer, 'buffer')) >= Number(bits);
    },
  };
}

function zeroBitsOf(hashed: Buffer): number {
  const first = hashed.findIndex((byte) => byte !== 0);
  return first === -1 ? hashed.length * 8 : first * 8 + Math.clz32(hashed[first] as number) - 24;
}
