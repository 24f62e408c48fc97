import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Redis } from 'ioredis';
import { redisClock } from '../../runtime/clock.ts';
import { readSigningKeys } from '../../runtime/signing-keys.ts';
import { type Refusal, refuse } from './problems.ts';

/**
 * Proof of work, so that a thousand accounts cost a thousand times as much as one. It is off unless
 * CHALLENGE_DIFFICULTY_BITS is set. A challenge is not stored: it carries its expiry and our signature, and is valid for one
 * subject (an e-mail address, or a buyer in a sale), so that an answer cannot be passed on. An answer pays for one request;
 * Redis stores which one until the answer expires.
 *
 *   answer   `<challenge>.<nonce>` whose SHA-256 begins with so many zero bits, in the header Proof-Of-Work
 */
export interface Challenges {
  /**
   * @param paidFor identifies the request that the answer pays for; its repetition needs no second answer.
   * @returns null when `answer` is valid for this subject and unspent, otherwise a refusal with 428 and a challenge.
   */
  requireWork(subject: string, answer: string | undefined, paidFor: string): Promise<Refusal | null>;
}

const validMs = 120_000;
const answerFormat = /^((\w{1,12})-[\w-]{16})-([\w-]{43})\.(\w{1,32})$/;

export function openChallenges(redis: Redis, secrets: string, difficultyBits: number): Challenges {
  const key = createHmac('sha256', readSigningKeys(secrets)[0]?.secret ?? '')
    .update('challenges')
    .digest();
  const signatureOf = (text: string, subject: string) =>
    createHmac('sha256', key).update(`${text}\n${subject}`).digest('base64url');

  function isAnswer(subject: string, answer: string): boolean {
    const [, text, expiry, signature] = answerFormat.exec(answer) ?? [];
    if (!text || !expiry || !signature) return false;
    const ours = Buffer.from(signatureOf(text, subject));
    return (
      timingSafeEqual(ours, Buffer.from(signature)) &&
      Number.parseInt(expiry, 36) > redisClock.now().getTime() &&
      zeroBitsOf(createHash('sha256').update(answer).digest()) >= difficultyBits
    );
  }
  /** Spends an answer in one atomic step, so that only one of several concurrent requests can use it. */
  async function spend(answer: string, paidFor: string): Promise<boolean> {
    const key = `proof:${createHash('sha256').update(answer).digest('base64url')}`;
    if ((await redis.set(key, paidFor, 'PX', validMs, 'NX')) === 'OK') return true;
    return (await redis.get(key)) === paidFor;
  }

  return {
    async requireWork(subject, answer, paidFor) {
      if (difficultyBits === 0) return null;
      if (answer !== undefined && isAnswer(subject, answer) && (await spend(answer, paidFor))) return null;
      const text = `${(redisClock.now().getTime() + validMs).toString(36)}-${randomBytes(12).toString('base64url')}`;
      const challenge = `${text}-${signatureOf(text, subject)}`;
      const detail =
        'expected `Proof-Of-Work: <challenge>.<nonce>` whose SHA-256 begins with that many zero bits';
      return refuse('work-required', detail, { challenge, difficultyBits });
    },
  };
}

function zeroBitsOf(hash: Buffer): number {
  const first = hash.findIndex((byte) => byte !== 0);
  return first === -1 ? hash.length * 8 : first * 8 + Math.clz32(hash[first] as number) - 24;
}
