import { z } from 'zod';
import { isCurrency } from '../../../public/shared/money.js';
import { maxItems, saleSnapshot } from '../../../sale/contract.ts';
import { createSale, createSaleOnce, type NewSale, snapshotOfRecord } from '../../../sale/sale.ts';
import type { SaleChangeRefusal } from '../../../sale/sale-change.ts';
import { byId, id, instant, itemId, line, units } from '../../http/inputs.ts';
import { type Refusal, refuse } from '../../http/problems.ts';
import { byOf, type Route, route } from '../../http/route.ts';
import { takesEffectSoon } from '../../live/announcements.ts';
import type { Shop } from '../../shop.ts';
import { noSale } from '../sales.ts';
import { noProduct } from './products.ts';

const cancelWindow = z
  .int()
  .min(0)
  .max(366 * 86_400)
  .nullable()
  .optional()
  .describe(
    'For how long after the end a buyer may cancel an order, an hour by default; null: only the shop may',
  );

const amount = z.int().min(0).max(1_000_000_000_000);
const price = z.strictObject({
  amount,
  currency: z
    .string()
    .refine(isCurrency, 'expected the ISO 4217 code of a currency, e.g. EUR')
    .meta({ pattern: '^[A-Z]{3}$' }),
});
/** The former price, in minor units of the same currency. */
const oldAmount = amount.min(1).optional();
const stock = z.int().min(0).max(1_000_000_000);

const newItem = z.strictObject({
  productId: id,
  /** May be empty; then the product alone says what the item is. */
  label: line(40).default(''),
  price,
  oldAmount,
  stock,
  limitPerBuyer: units.nullable().default(null),
});

/** A sale with one item may have the item's fields in the sale itself. */
const newSale = z
  .strictObject({
    productId: id.optional(),
    price: price.optional(),
    oldAmount,
    stock: stock.optional(),
    items: z.array(newItem).min(1).max(maxItems).optional(),
    limitPerBuyer: units.default(1),
    cancelWindowSeconds: cancelWindow,
    opensAt: instant,
    closesAt: instant,
  })
  .check(({ value: sale, issues }) => {
    const refuse = (path: (string | number)[], message: string) =>
      issues.push({ code: 'custom', input: sale, path, message });
    const { price, items = [], limitPerBuyer } = sale;
    if (sale.opensAt >= sale.closesAt) refuse(['closesAt'], 'expected a time after opensAt');
    for (const field of ['productId', 'price', 'stock'] as const) {
      const isGiven = sale[field] !== undefined;
      if (sale.items && isGiven) refuse([field], 'expected it in the items, not beside them');
      if (!sale.items && !isGiven) refuse([field], 'expected it, or items');
    }
    if (sale.items && sale.oldAmount !== undefined)
      refuse(['oldAmount'], 'expected it in the items, not beside them');
    const names = new Map<string, number>();
    for (const [n, item] of items.entries()) {
      if (item.price.currency !== items[0]?.price.currency)
        refuse(['items', n, 'price', 'currency'], 'expected one currency for all items');
      const name = JSON.stringify([item.productId, item.label]);
      const same = names.get(name);
      if (same !== undefined) refuse(['items', n, 'label'], `expected another than that of item ${same + 1}`);
      names.set(name, n);
    }
    const dearest = Math.max(price?.amount ?? 0, ...items.map((item) => item.price.amount));
    if (dearest * limitPerBuyer > Number.MAX_SAFE_INTEGER)
      refuse(['limitPerBuyer'], 'expected a limit at which an order costs less than 2^53 minor units');
  });

function newSaleOf({ items, productId, price, oldAmount, stock, ...sale }: z.infer<typeof newSale>): NewSale {
  const all =
    items ?? (productId && price && stock !== undefined ? [{ productId, price, oldAmount, stock }] : []);
  return {
    ...sale,
    items: all.map(({ price: { amount }, oldAmount = null, ...item }) => ({ ...item, amount, oldAmount })),
    currency: all[0]?.price.currency ?? '',
  };
}

const saleChange = z
  .strictObject({
    paused: z.boolean().optional(),
    addStock: units.optional(),
    cancelWindowSeconds: cancelWindow,
    /** Whose stock to add; a sale with one item needs none. */
    itemId: itemId.optional(),
    opensAt: instant.optional(),
    closesAt: instant.optional(),
  })
  .refine((change) => Object.values(change).some((value) => value !== undefined), {
    error: 'expected at least one of paused, addStock, opensAt, closesAt, cancelWindowSeconds',
  })
  .refine(({ itemId, addStock }) => itemId === undefined || addStock !== undefined, {
    path: ['itemId'],
    error: 'expected addStock with it',
  });

export const saleAdminRoutes = ({ collections, announceSale, changeSale }: Shop): Route[] => [
  route({
    method: 'post',
    path: '/api/sales',
    access: 'admin',
    summary: 'Put items on sale: products, or sizes of one',
    body: newSale,
    takesIdempotencyKey: true,
    answer: [201, saleSnapshot],
    headers: ['Location'],
    problems: ['not-found', 'key-reused'],
    async handle({ body, idempotencyKey, ...call }) {
      const [sale, by] = [newSaleOf(body), byOf(call)];
      const snapshot = idempotencyKey
        ? await createSaleOnce(collections, sale, { by, idempotencyKey })
        : await createSale(collections, sale, by);
      if (snapshot === 'key_reused') return keyReused('This key made another sale before');
      if ('noProduct' in snapshot) return noProduct(snapshot.noProduct);
      announceSale(snapshot);
      return { status: 201, body: snapshot, headers: { Location: `/api/sales/${snapshot.id}` } };
    },
  }),
  route({
    method: 'patch',
    path: '/api/sales/:id',
    access: 'admin',
    summary: 'Pause or resume a sale, add stock, move its window, set until when buyers may cancel',
    params: byId,
    body: saleChange,
    takesIdempotencyKey: true,
    answer: [200, saleSnapshot],
    problems: ['not-found', 'key-reused', 'busy'],
    /** A change that is repeated with its Idempotency-Key is made once, and gets the same answer. */
    async handle({ params, body, idempotencyKey: key, ...call }) {
      const request = { saleId: params.id, change: body, idempotencyKey: key, by: byOf(call) };
      const changed = await changeSale(request);
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
    case 'unknown_item': {
      const message = 'expected one of the items of this sale';
      return refuse('invalid-input', `itemId: ${message}`, { errors: [{ field: 'itemId', message }] });
    }
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
