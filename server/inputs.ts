import { z } from 'zod';

/** Everything a client may send, one schema for each input. Strict: a field that is not here is an error. */

const id = z.string().regex(/^[\w-]{8,64}$/, 'expected an id: 8 to 64 letters, digits, _ or -');
const units = z.int().min(1).max(1_000_000);
const instant = z.iso.datetime({ offset: true }).transform((text) => new Date(text));

/** Bull numbers its jobs. */
export const byJobId = z.strictObject({
  id: z.string().regex(/^\d{1,15}$/, "expected a dead letter's number"),
});

export const deadLetterList = z.strictObject({
  start: z.coerce.number().int().min(0).max(1_000_000).default(0),
  limit: z.coerce.number().int().min(1).max(100).default(20),
});

export const byId = z.strictObject({ id });

const password = z
  .string()
  .min(8, 'expected at least 8 characters')
  .refine((text) => Buffer.byteLength(text) <= 72, 'expected at most 72 bytes');

export const newUser = z.strictObject({
  email: z.email().max(254),
  password,
  name: z.string().trim().min(1).max(100),
});

export const credentials = z.strictObject({ email: z.string().max(254), password: z.string().max(1_000) });

export const newProduct = z.strictObject({
  name: z.string().trim().min(1).max(200),
  description: z.string().max(5_000).default(''),
  image: z
    .string()
    .max(500)
    .regex(/^(\/[\w./-]+|)$/, 'expected a path on this site, e.g. /images/lamp.svg')
    .default(''),
});

export const newSale = z
  .strictObject({
    productId: id,
    price: z.strictObject({
      amount: z.int().min(0).max(1_000_000_000_000),
      currency: z.string().regex(/^[A-Z]{3}$/, 'expected an ISO 4217 code, e.g. EUR'),
    }),
    stock: z.int().min(0).max(1_000_000_000),
    limitPerBuyer: units.default(1),
    opensAt: instant,
    closesAt: instant,
  })
  .refine((sale) => sale.opensAt < sale.closesAt, {
    path: ['closesAt'],
    error: 'expected a time after opensAt',
  });

export const saleChange = z
  .strictObject({
    paused: z.boolean().optional(),
    addStock: units.optional(),
    opensAt: instant.optional(),
    closesAt: instant.optional(),
  })
  .refine((change) => Object.values(change).some((value) => value !== undefined), {
    error: 'expected at least one of paused, addStock, opensAt, closesAt',
  });

export const purchaseRequest = z.strictObject({ quantity: units });

/** Printable ASCII, as RFC 9110 has it for a header, and short enough to be kept for a day. */
export const idempotencyKey = z
  .string()
  .regex(/^[\x21-\x7e]{1,255}$/, 'expected 1 to 255 printable ASCII characters');

export const orderList = z.strictObject({
  cursor: z.string().max(64).optional(),
  limit: z.coerce.number().int().min(1).max(100).default(20),
});
