import { z } from 'zod';
import { firstEntryMs } from '../../sale/access/access.ts';
import type { Admittance, Visitor } from '../../sale/access/door.ts';
import { type SaleAccess, saleAccess } from '../../sale/contract.ts';
import type { Identity } from '../http/identity/tokens.ts';
import { byId } from '../http/inputs.ts';
import type { Refusal } from '../http/problems.ts';
import { type Route, route } from '../http/route.ts';
import type { Shop } from '../shop.ts';
import { code, codeRefused, codeUsed, notAdmitted } from './purchases.ts';
import { noSale } from './sales.ts';

const visitorOf = ({ userId, emailVerified }: Identity, typed: string | undefined): Visitor => ({
  ...{ userId, emailVerified },
  ...(typed !== undefined && { code: typed }),
});

/**
 * Whether a buyer may take a place in a sale now: to gather before the opening it has to open for them with the first phase.
 * @param nowMs by Redis' clock.
 * @returns the id of the code that the buyer's order will redeem; null when it needs none, or why the buyer is not let in.
 */
export async function enterSale(
  { door }: Pick<Shop, 'door'>,
  saleId: string,
  identity: Identity,
  { code: typed, nowMs }: { code: string | undefined; nowMs: number },
): Promise<string | null | Refusal> {
  const terms = await door.termsOf(saleId);
  if (!terms || terms.phases === '') return null;
  const admittance = await door.admittanceOf(saleId, terms.phases, visitorOf(identity, typed));
  const fromMs = Math.max(nowMs, terms.opensAt.getTime());
  const { opensMs, withCodeMs, code: shown, isCodeRefused } = admittance;
  if (opensMs !== null && opensMs <= fromMs) return null;
  if (shown && withCodeMs !== null && withCodeMs <= fromMs)
    return (await door.countUses(saleId, shown.id)) < shown.uses ? shown.id : codeUsed();
  if (isCodeRefused) return codeRefused();
  const firstMs = firstEntryMs(admittance);
  return notAdmitted(saleId, firstMs === null ? null : new Date(firstMs));
}

/** What lets a buyer into a sale with phases. */
export const accessRoutes = (shop: Shop): Route[] => [
  route({
    method: 'post',
    path: '/api/sales/:id/access',
    access: 'buyer',
    summary: 'When the sale opens for you, with a code or without; it changes nothing',
    params: byId,
    body: z.strictObject({ code: code.optional() }),
    answer: [200, saleAccess],
    problems: ['not-found'],
    limit: 'purchases',
    async handle({ params, body, identity }) {
      const terms = await shop.door.termsOf(params.id);
      if (!terms) return noSale(params.id);
      const opensAt = terms.opensAt.toISOString();
      if (terms.phases === '') return { status: 200, body: { opensAt, isListed: false, code: null } };
      const visitor = visitorOf(identity, body.code);
      const admittance = await shop.door.admittanceOf(params.id, terms.phases, visitor);
      return { status: 200, body: await accessOf(shop, params.id, admittance) };
    },
  }),
];

async function accessOf({ door }: Shop, saleId: string, admittance: Admittance): Promise<SaleAccess> {
  const { code: shown, isMember: isListed, isCodeRefused } = admittance;
  const isUsed = shown !== null && (await door.countUses(saleId, shown.id)) >= shown.uses;
  const firstMs = isUsed ? admittance.opensMs : firstEntryMs(admittance);
  return {
    opensAt: firstMs === null ? null : new Date(firstMs).toISOString(),
    isListed,
    code: isCodeRefused ? 'refused' : shown === null ? null : isUsed ? 'used' : 'valid',
  };
}
