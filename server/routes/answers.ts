import { z } from 'zod';
import type { AccountExport } from '../../accounts/account.ts';
import type {
  Order,
  OrderPage,
  Problem,
  PurchaseReceipt,
  SalePage,
  SaleSnapshot,
  Session,
  User,
} from '../../sale/contract.ts';

/**
 * What the API answers, for `/openapi.json`. The types are sale/contract.ts; the compiler holds these to them, and a
 * test holds the answers to these. Nothing is checked against them while serving.
 */
const instant = z.iso.datetime();
const count = z.int().min(0);

export const product = z.object({
  id: z.string(),
  name: z.string(),
  description: z.string(),
  image: z.string(),
  images: z.array(z.string()),
});

export const snapshot = z.object({
  id: z.string(),
  product,
  price: z.object({
    amount: count.describe('In minor units: 12900 is 129.00 EUR'),
    currency: z.string().describe('ISO 4217'),
  }),
  oldPrice: z.object({ amount: count, currency: z.string() }).nullable().describe('What it cost before'),
  status: z.enum(['scheduled', 'open', 'paused', 'sold_out', 'ended']),
  opensAt: instant,
  closesAt: instant,
  stock: count.describe('Units not yet sold, as settled'),
  stockVersion: count.describe('Grows with every change of the stock'),
  unitsOnSale: count,
  limitPerBuyer: z.int().min(1),
  serverTime: instant,
}) satisfies z.ZodType<SaleSnapshot>;

export const nextCursor = z
  .string()
  .nullable()
  .describe('Pass as `cursor` to read on; null on the last page');

export const sales = z.object({ sales: z.array(snapshot), nextCursor }) satisfies z.ZodType<SalePage>;

export const order = z.object({
  id: z.string(),
  saleId: z.string(),
  quantity: z.int().min(1),
  status: z.enum(['queued', 'held', 'paid', 'rejected', 'expired', 'cancelled']),
  reason: z.enum(['sold_out', 'over_limit', 'unknown_sale', 'failed']).nullable(),
  createdAt: instant,
  settledAt: instant.nullable(),
  holdExpiresAt: instant.nullable(),
}) satisfies z.ZodType<Order>;

export const orderPage = z.object({
  orders: z.array(order),
  nextCursor,
  queuedOmitted: z
    .literal(true)
    .exactOptional()
    .describe('So many purchases wait that only the newest were looked at; older ones of yours are left out'),
}) satisfies z.ZodType<OrderPage>;

export const receipt = z.object({
  orderId: z.string(),
  status: z.literal('queued'),
}) satisfies z.ZodType<PurchaseReceipt>;

const user = z.object({
  id: z.string(),
  email: z.string(),
  name: z.string(),
  role: z.enum(['visitor', 'buyer', 'admin']),
}) satisfies z.ZodType<User>;

export const session = z.object({
  user,
  token: z.string().describe('For `Authorization: Bearer`; short-lived'),
}) satisfies z.ZodType<Session>;

export const visitor = z.object({ token: z.string() });

export const accountExport = z.object({
  user: user.extend({ createdAt: instant }),
  personId: z.string().describe('Whose limits count; it stays, with a keyed hash of the address'),
  sessions: z.array(z.object({ createdAt: instant, expiresAt: instant })),
  orders: z.array(order),
}) satisfies z.ZodType<AccountExport>;

export const problem = z.object({
  type: z.string().describe('`/problems/<name>`, stable'),
  title: z.string(),
  status: z.int(),
  detail: z.string(),
  errors: z.array(z.object({ field: z.string(), message: z.string() })).exactOptional(),
  opensAt: instant.exactOptional(),
  left: count.exactOptional(),
  challenge: z.string().exactOptional(),
  difficultyBits: count.exactOptional(),
}) satisfies z.ZodType<Problem>;
