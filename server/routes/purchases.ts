import { isDeepStrictEqual } from 'node:util';
import { nanoid } from 'nanoid';
import { z } from 'zod';
import { mongoClock } from '../../runtime/clock.ts';
import { codeIdOf } from '../../sale/access/codes.ts';
import type { Admission } from '../../sale/admission/admission.ts';
import {
  maxItems,
  namesEachItemOnce,
  order,
  type Purchase,
  type PurchaseReceipt,
  purchaseReceipt,
  unitsIn,
} from '../../sale/contract.ts';
import { linesOf } from '../../sale/items.ts';
import { findOrder, orderIdOf } from '../../sale/order.ts';
import { mayTakePart } from '../../sale/rehearsal.ts';
import { personOf } from '../../sale/settlement/decide.ts';
import { notVerified, requirePurchaseWork, takeNetwork } from '../bots/entry.ts';
import { byId, itemId, units } from '../http/inputs.ts';
import { isRefusal, type Refusal, refuse, wrongField } from '../http/problems.ts';
import { type Route, route } from '../http/route.ts';
import { traceparentOf } from '../http/trace-context.ts';
import type { Shop } from '../shop.ts';
import { noSale } from './sales.ts';

/** A code as it was typed, which need not be one. */
export const code = z.string().min(1).max(64);

/** `quantity` alone is for a sale with one item. */
export const purchaseRequest = z
  .strictObject({
    quantity: units.optional(),
    lines: z
      .array(z.strictObject({ itemId, quantity: units }))
      .min(1)
      .max(maxItems)
      .optional(),
    code: code
      .optional()
      .describe('Lets its holder into a phase of the sale; letter case and hyphens do not matter'),
  })
  .check(({ value: { quantity, lines }, issues }) => {
    const refuse = (field: string, message: string) =>
      issues.push({ code: 'custom', input: field, path: [field], message });
    if (quantity === undefined && !lines) refuse('quantity', 'expected it, or lines');
    if (quantity !== undefined && lines) refuse('quantity', 'expected it or lines, not both');
    if (lines && !namesEachItemOnce(lines)) refuse('lines', 'expected each item once');
    if (lines && !units.safeParse(unitsIn(lines)).success) refuse('lines', 'expected at most 1000000 units');
  });

/** What is asked for. The lines are sorted, so that their order in the request does not matter. */
export function purchasedIn({
  quantity,
  lines,
}: z.infer<typeof purchaseRequest>): Pick<Purchase, 'quantity' | 'lines'> {
  if (!lines) return { quantity: quantity ?? 0 };
  const sorted = lines.toSorted((one, other) => Number(one.itemId) - Number(other.itemId));
  return { quantity: unitsIn(lines), lines: sorted };
}

export function purchaseRoutes(shop: Shop): Route[] {
  const { admit, demandsOf, gate, passes, settledOrders, collections, networks } = shop;
  const isAccepted = async (orderId: string, buyerId: string) =>
    ((await gate.findPurchase(orderId)) ?? (await findOrder(collections, orderId, buyerId))) !== null;

  /** The person counts no more, unless the purchase was admitted all the same. While Redis is away, that cannot be told. */
  async function endFailed(purchase: Purchase): Promise<void> {
    const { orderId, saleId } = purchase;
    if (await gate.findPurchase(orderId)) return;
    await networks.endPress(saleId, personOf(purchase), 'refused');
  }

  return [
    route({
      method: 'post',
      path: '/api/sales/:id/purchases',
      access: 'buyer',
      summary: 'Buy',
      params: byId,
      body: purchaseRequest,
      takesIdempotencyKey: true,
      takesProofOfWork: true,
      takesRoomPass: true,
      answer: [202, purchaseReceipt],
      headers: ['Location', 'Retry-After', 'Idempotency-Key'],
      afterWaiting: order,
      problems: [
        'not-found',
        'sold-out',
        'not-open',
        'paused',
        'ended',
        'draw',
        'sold-elsewhere',
        'pass-required',
        'over-limit',
        'not-admitted',
        'code-refused',
        'code-used',
        'email-not-verified',
        'key-reused',
        'busy',
        'work-required',
        'proof-of-work-required',
        'network-full',
      ],
      limit: 'purchases',
      hot: true,
      async handle({ params, body, identity, idempotencyKey = nanoid(), request }) {
        const { userId: buyerId, personId, emailVerified } = identity;
        if (!mayTakePart(params.id, buyerId)) return noSale(params.id);
        // Awaited only when it is not known, as once a second for each sale.
        const known = demandsOf(params.id);
        const demands = known instanceof Promise ? await known : known;
        if (demands?.requiresVerifiedEmail && !emailVerified) return notVerified();
        const unsolved = requirePurchaseWork(shop, params.id, personId, demands, request);
        if (unsolved) return unsolved;
        const isCounted = demands?.networkLimit !== undefined && !demands.isRoom;
        const network = isCounted ? await takeNetwork(shop, params.id, personId, demands, request) : {};
        const orderId = orderIdOf(buyerId, params.id, idempotencyKey);
        const isFull = isRefusal(network);
        const isTaken = !isFull && network.networkKey !== undefined;
        // Others may have filled it after this purchase was accepted, whose answer was lost.
        if (isFull && !(await isAccepted(orderId, buyerId))) return network;
        const purchase: Purchase = {
          orderId,
          saleId: params.id,
          buyerId,
          ...(personId !== buyerId && { personId }),
          ...purchasedIn(body),
          idempotencyKey,
          createdAt: mongoClock.now().toISOString(),
          traceparent: traceparentOf(request.header('traceparent')),
        };
        const pass = request.header('room-pass');
        const hasPass = passes.allows(pass, params.id, personId, purchase.orderId);
        const shown = { emailVerified, ...(body.code && { code: body.code }) };
        const admission = await admit(purchase, request.header('x-request-id'), hasPass, shown).catch(
          async (error: unknown) => {
            if (isTaken) await endFailed(purchase).catch(() => {});
            throw error;
          },
        );
        if (admission.outcome === 'known') {
          if (!isDeepStrictEqual(linesOf(admission.purchase), linesOf(purchase)))
            return keyReused(purchase, admission.purchase);
          const redeemed = admission.purchase.code;
          if (redeemed !== undefined && redeemed !== codeIdOf(params.id, body.code ?? ''))
            return refuse(
              'key-reused',
              'This key came with another code before; expected the same, or a new key',
            );
        } else if (admission.outcome === 'admitted') {
          settledOrders.addQueued(purchase);
        } else {
          // What is not confirmed may have been admitted.
          if (isTaken && admission.outcome !== 'unconfirmed')
            await networks.endPress(params.id, personId, 'refused');
          return refusal(admission, purchase);
        }

        const headers = { Location: `/api/orders/${orderId}`, 'Idempotency-Key': idempotencyKey };
        const find = () => findOrder(collections, orderId, buyerId);
        const mayBeSettled = admission.outcome === 'known';
        const held = await settledOrders.waitFor(orderId, request, { find, mayBeSettled });
        if (held?.order) return { status: 200, body: held.order, headers: { ...headers, ...held.headers } };
        const receipt: PurchaseReceipt = {
          ...{ orderId, status: 'queued' },
          ...(hasPass && { pass: passes.issueForOrder(params.id, orderId) }),
        };
        return {
          status: 202,
          body: receipt,
          headers: { ...headers, 'Retry-After': '1', ...held?.headers },
        };
      },
    }),
  ];
}

export const codeRefused = () =>
  refuse('code-refused', 'There is no such code for this sale, or the shop has revoked it');

export const codeUsed = () =>
  refuse('code-used', 'Others have used this code, or you did. An order that is cancelled gives it back.');

/** @param opensAt when the sale opens for the buyer; null when it does not. */
export const notAdmitted = (saleId: string, opensAt: Date | null) =>
  refuse(
    'not-admitted',
    opensAt
      ? `It opens for you at ${opensAt.toISOString()}`
      : `It is open to those on its list, whose address is confirmed, or with a code: read the phases of GET /api/sales/${saleId}`,
    opensAt ? { opensAt: opensAt.toISOString() } : {},
  );

function keyReused(asked: Purchase, known: Purchase): Refusal {
  const [before, now] = [known, asked].map((purchase) =>
    purchase.lines ? `lines ${JSON.stringify(purchase.lines)}` : `quantity ${purchase.quantity}`,
  );
  return refuse(
    'key-reused',
    `This key came with ${before} before, now with ${now}; expected the same, or a new key`,
  );
}

function refusal(
  admission: Exclude<Admission, { outcome: 'admitted' | 'known' }>,
  { saleId, quantity, lines }: Purchase,
): Refusal {
  switch (admission.outcome) {
    case 'sold_out': {
      const { left, itemId } = admission;
      const asked = lines?.find((line) => line.itemId === itemId)?.quantity ?? quantity;
      const ofItem = itemId === null ? '' : ` of item ${itemId}`;
      return refuse('sold-out', `${asked}${ofItem} asked for, ${left} left`, {
        left,
        ...(itemId !== null && { itemId }),
      });
    }
    case 'unknown_item': {
      return admission.itemId === null
        ? wrongField('quantity', 'expected lines instead, because this sale has several items')
        : wrongField('lines', `expected items of this sale, got ${admission.itemId}`);
    }
    case 'not_open': {
      const opensAt = admission.opensAt.toISOString();
      return refuse('not-open', `It opens at ${opensAt}`, { opensAt });
    }
    case 'paused':
      return refuse('paused', 'It goes on when the shop resumes it');
    case 'ended':
      return refuse('ended', 'Nothing can be bought any more');
    case 'drawn':
      return refuse('draw', `Enter the draw instead: POST /api/sales/${saleId}/entries`);
    case 'elsewhere':
      return refuse(
        'sold-elsewhere',
        `This waiting room stands in front of another site. Take a place: POST /api/sales/${saleId}/places, and when you are called, go where the returnUrl of your pass leads.`,
      );
    case 'no_pass':
      return refuse(
        'pass-required',
        `Join the waiting room: POST /api/sales/${saleId}/places. When you are called, get a pass for you and this sale: POST /api/sales/${saleId}/places/mine/pass, and send it in Room-Pass before it ends.`,
      );
    case 'not_admitted': {
      const { opensAt, isCodeRefused } = admission;
      if (isCodeRefused) return codeRefused();
      return notAdmitted(saleId, opensAt);
    }
    case 'code_used':
      return codeUsed();
    case 'over_limit': {
      const { itemId } = admission;
      const asked = lines?.find((line) => line.itemId === itemId)?.quantity ?? quantity;
      const ofItem = itemId === null ? '' : ` of item ${itemId}`;
      return refuse('over-limit', `${asked} more${ofItem} would be over what one buyer may have`, {
        ...(itemId !== null && { itemId }),
      });
    }
    case 'unknown_sale':
      return noSale(saleId);
    case 'unconfirmed':
      return refuse('unavailable', 'It is not sure that it was accepted. Try again with the same key.');
    case 'busy':
      return refuse('busy', 'Too many purchases wait to be settled. Try again with the same key.');
  }
}
