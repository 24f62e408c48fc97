import { createHmac, timingSafeEqual } from 'node:crypto';
import { redisClock } from '../../runtime/clock.ts';
import { readSigningKeys } from '../../runtime/signing-keys.ts';

/**
 * Passes into a sale with a waiting room. A pass is not stored: it carries its end and our signature over the sale, the
 * person and the end, so that nobody else can use it, nor for another sale, nor later.
 *
 *   pass   `<end, Unix ms in base 36>.<HMAC-SHA-256 of "sale\nperson\nend", base64url>`
 */
export interface Passes {
  issue(saleId: string, personId: string, until: Date): string;
  /** Whether this pass lets this person into this sale now. */
  allows(pass: string | undefined, saleId: string, personId: string): boolean;
}

const format = /^([0-9a-z]{1,12})\.([\w-]{43})$/;

/** @param secrets as in `JWT_SECRET`: the first one signs, and all of them verify. */
export function openPasses(secrets: string): Passes {
  const keys = readSigningKeys(secrets).map(({ secret }) => {
    return createHmac('sha256', secret).update('room-passes').digest();
  });
  const sign = (key: Buffer, saleId: string, personId: string, end: string) =>
    createHmac('sha256', key).update(`${saleId}\n${personId}\n${end}`).digest();
  return {
    issue(saleId, personId, until) {
      const end = until.getTime().toString(36);
      return `${end}.${sign(keys[0] as Buffer, saleId, personId, end).toString('base64url')}`;
    },
    allows(pass, saleId, personId) {
      const [, end, signature] = format.exec(pass ?? '') ?? [];
      if (!end || !signature || Number.parseInt(end, 36) <= redisClock.now().getTime()) return false;
      const theirs = Buffer.from(signature, 'base64url');
      return keys.some((key) => timingSafeEqual(sign(key, saleId, personId, end), theirs));
    },
  };
}
