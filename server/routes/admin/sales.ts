import { z } from 'zod';
import { isCurrency } from '../../../public/shared/money.js';
import { saleSnapshot } from '../../../sale/contract.ts';
import { createSale, createSaleOnce, snapshotOfRecord } from '../../../sale/sale.ts';
import type { SaleChangeRefusal } from '../../../sale/sale-change.ts';
import { byId, id, instant, units } from '../../http/inputs.ts';
import { type Refusal, refuse } from '../../http/problems.ts';
import { type Route, route } from '../../http/route.ts';
import { takesEffectSoon } from '../../live/announcements.ts';
import type { Shop } from '../../shop.ts';
import { noSale } from '../sales.ts';
import { noProduct } from './products.ts';

const newSale = z
  .strictObject({
    productId: id,
    price: z.strictObject({
      amount: z.int().min(0).max(1_000_000_000_000),
      currency: z
        .string()
        .refine(isCurrency, 'expected the ISO 4217 code of a currency, e.g. EUR')
        .meta({ pattern: '^[A-Z]{3}$' }),
    }),
    /** The former price, in minor units of the same currency. */
    oldAmount: z.int().min(1).max(1_000_000_000_000).optional(),
    stock: z.int().min(0).max(1_000_000_000),
    limitPerBuyer: units.default(1),
    opensAt: instant,
    closesAt: instant,
  })
  .refine((sale) => sale.opensAt < sale.closesAt, {
    path: ['closesAt'],
    error: 'expected a time after opensAt',
  });

const saleChange = z
  .strictObject({
    paused: z.boolean().optional(),
    addStock: units.optional(),
    opensAt: instant.optional(),
    closesAt: instant.optional(),
  })
  .refine((change) => Object.values(change).some((value) => value !== undefined), {
    error: 'expected at least one of paused, addStock, opensAt, closesAt',
  });

export const saleAdminRoutes = ({ collections, announceSale, changeSale }: Shop): Route[] => [
  route({
    method: 'post',
    path: '/api/sales',
    access: 'admin',
    summary: 'Put a product on sale',
    body: newSale,
    takesIdempotencyKey: true,
    answer: [201, saleSnapshot],
    headers: ['Location'],
    problems: ['not-found', 'key-reused'],
    async handle({ body, identity, idempotencyKey }) {
      const snapshot = idempotencyKey
        ? await createSaleOnce(collections, body, { adminId: identity.userId, idempotencyKey })
        : await createSale(collections, body);
      if (snapshot === 'key_reused') return keyReused('This key made another sale before');
      if (!snapshot) return noProduct(body.productId);
      announceSale(snapshot);
      return { status: 201, body: snapshot, headers: { Location: `/api/sales/${snapshot.id}` } };
    },
  }),
  route({
    method: 'patch',
    path: '/api/sales/:id',
    access: 'admin',
    summary: 'Pause or resume a sale, add stock, move its window',
    params: byId,
    body: saleChange,
    takesIdempotencyKey: true,
    answer: [200, saleSnapshot],
    problems: ['not-found', 'key-reused', 'busy'],
    /** A change that is repeated with its Idempotency-Key is made once, and gets the same answer. */
    async handle({ params, body, idempotencyKey: key }) {
      const changed = await changeSale({ saleId: params.id, change: body, idempotencyKey: key });
      if (typeof changed === 'string') return refusalOfChange(changed, params.id);
      const snapshot = await snapshotOfRecord(collections, changed.sale);
      if (!snapshot) return noSale(params.id);
      const headers = {
        ...(key && { 'Idempotency-Key': key }),
        ...(!changed.isAnnounced && takesEffectSoon),
      };
      return { status: 200, body: snapshot, headers };
    },
  }),
];

function refusalOfChange(refusal: SaleChangeRefusal, saleId: string): Refusal {
  switch (refusal) {
    case 'unknown_sale':
      return noSale(saleId);
    case 'closes_first':
      return refuse('invalid-input', 'closesAt: expected a time after opensAt', {
        errors: [{ field: 'closesAt', message: 'expected a time after opensAt' }],
      });
    case 'key_reused':
      return keyReused('This key came with another change of this sale before');
  }
}

function keyReused(what: string): Refusal {
  return refuse('key-reused', `${what}; expected the same again, or a new key`);
}
