import { createHmac, timingSafeEqual } from 'node:crypto';
import { redisClock } from '../../runtime/clock.ts';
import { readSigningKeys } from '../../runtime/signing-keys.ts';

/**
 * Passes into a sale with a waiting room. A pass is not stored: it carries its end and our signature over the sale, the
 * person and the end, so that nobody else can use it, nor for another sale, nor later.
 *
 * A purchase that was accepted gets a pass of its own, with which it can be sent again when Redis has lost it: for one order,
 * which its Idempotency-Key names, instead of a person.
 *
 *   pass   `<end, Unix ms in base 36>.<HMAC-SHA-256 of "sale\nholder\nend", base64url>`
 */
export interface Passes {
  issue(saleId: string, personId: string, until: Date): string;
  issueForOrder(saleId: string, orderId: string): string;
  /** Whether this pass lets this person into this sale now, or at least with this order. */
  allows(pass: string | undefined, saleId: string, personId: string, orderId: string): boolean;
}

/** For so long an accepted purchase can be sent again. */
const orderPassMs = 3_600_000;
/** No id of a person contains a line feed. */
const holderOf = (orderId: string) => `order\n${orderId}`;

const format = /^([0-9a-z]{1,12})\.([\w-]{43})$/;

/** @param secrets as in `JWT_SECRET`: the first one signs, and all of them verify. */
export function openPasses(secrets: string): Passes {
  const keys = readSigningKeys(secrets).map(({ secret }) => {
    return createHmac('sha256', secret).update('room-passes').digest();
  });
  const sign = (key: Buffer, saleId: string, holder: string, end: string) =>
    createHmac('sha256', key).update(`${saleId}\n${holder}\n${end}`).digest();
  const issue = (saleId: string, holder: string, until: Date) => {
    const end = until.getTime().toString(36);
    return `${end}.${sign(keys[0] as Buffer, saleId, holder, end).toString('base64url')}`;
  };
  return {
    issue,
    issueForOrder: (saleId, orderId) =>
      issue(saleId, holderOf(orderId), new Date(redisClock.now().getTime() + orderPassMs)),
    allows(pass, saleId, personId, orderId) {
      const [, end, signature] = format.exec(pass ?? '') ?? [];
      if (!end || !signature || Number.parseInt(end, 36) <= redisClock.now().getTime()) return false;
      const theirs = Buffer.from(signature, 'base64url');
      const holders = [personId, holderOf(orderId)];
      return keys.some((key) =>
        holders.some((holder) => timingSafeEqual(sign(key, saleId, holder, end), theirs)),
      );
    },
  };
}
