import { z } from 'zod';
import { normaliseEmail } from '../../accounts/email-address.ts';
import { isOwnPath } from '../../catalogue/product.ts';
import { unsentState } from '../../insight/contract.ts';
import { isCurrency } from '../../public/shared/money.js';
import { settledStatus } from '../../sale/contract.ts';
import { webhookTypes } from '../../subscribers/webhooks/webhooks.ts';
import { name, prose } from '../http/plain-text.ts';

/** Everything a client may send, one schema for each input. Strict: a field that is not here is an error. */

const id = z.string().regex(/^[A-Za-z0-9_-]{8,64}$/, 'expected an id: 8 to 64 letters, digits, _ or -');
const units = z.int().min(1).max(1_000_000);

/** Dates of computers begin in 1970; past the year 9999 ISO 8601 and most who read it part ways. */
const [earliestMs, latestMs] = [0, Date.UTC(9999, 11, 31, 23, 59, 59, 999)];

export const instant = z.iso
  .datetime({
    offset: true,
    error:
      'expected a date and time that exist, a year of four digits and a zone, e.g. 2026-11-27T18:00:00Z or 2026-11-27T19:00:00+01:00',
  })
  .transform((text) => new Date(text))
  .refine((at) => at.getTime() >= earliestMs && at.getTime() <= latestMs, {
    error: 'expected a year from 1970 to 9999, counted in UTC',
  });

/** A number in a query: digits only. JavaScript reads `?since=` as 0 as well, and `1e1` and `0xa` as 10. */
const wholeFromText = (min: number, max: number) =>
  z.preprocess(
    (text) => (typeof text === 'string' && !/^\d{1,15}$/.test(text) ? Number.NaN : text),
    z.coerce.number().int().min(min).max(max),
  );

const previousCursor = 'expected the nextCursor of the page before';

/** Bull numbers its jobs; a message of RabbitMQ has a longer id. */
export const byJobId = z.strictObject({
  id: z.string().regex(/^(\d{1,15}|[\w-]{21,64})$/, "expected a dead letter's id"),
});

export const deadLetterList = z.strictObject({
  start: wholeFromText(0, 1_000_000).default(0),
  limit: wholeFromText(1, 100).default(20),
});

export const byId = z.strictObject({ id });

const password = z
  .string()
  .min(8, 'expected at least 8 characters')
  .refine((text) => Buffer.byteLength(text) <= 72, 'expected at most 72 bytes')
  .meta({ maxLength: 72, description: '8 characters to 72 bytes of UTF-8' });

/** Stricter than the library's: RFC 5321 also bounds the parts of an address, and no host's name ends with a hyphen. */
const emailPattern =
  /^(?=[^@]{1,64}@)[A-Za-z0-9_'+-]+(?:\.[A-Za-z0-9_'+-]+)*@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+(?:[A-Za-z]{2,63}|[Xx][Nn]--[A-Za-z0-9-]{0,58}[A-Za-z0-9])$/;

/** Read into its normal form, so a domain may come in any script: what is in front of the @ is ASCII. */
export const emailAddress = z
  .string()
  .max(254)
  .meta({
    format: 'email',
    pattern: emailPattern.source,
    description: 'The domain may also be written in Unicode; addresses that are the same after IDNA are one',
  })
  .transform(normaliseEmail)
  .pipe(z.email({ pattern: emailPattern, error: 'expected an address like ann@example.com' }).max(254));

export const newUser = z.strictObject({
  email: emailAddress,
  password,
  name: name(100),
});

export const credentials = z.strictObject({ email: z.string().max(254), password: z.string().max(1_000) });

const picturePath = z
  .string()
  .max(500)
  .refine((path) => path === '' || isOwnPath(path), 'expected a path on this site, e.g. /images/lamp.svg')
  .meta({ pattern: '^((/[A-Za-z0-9_-][A-Za-z0-9_.-]*)+|)$' });
const pictures = z.array(picturePath).max(8);

export const newProduct = z.strictObject({
  name: name(200),
  description: prose(5_000).default(''),
  image: picturePath.default(''),
  images: pictures.default([]),
});

export const productChange = z
  .strictObject({
    name: name(200).optional(),
    description: prose(5_000).optional(),
    image: picturePath.optional(),
    images: pictures.optional(),
  })
  .refine((change) => Object.values(change).some((value) => value !== undefined), {
    error: 'expected at least one of name, description, image, images',
  });

export const newSale = z
  .strictObject({
    productId: id,
    price: z.strictObject({
      amount: z.int().min(0).max(1_000_000_000_000),
      currency: z
        .string()
        .refine(isCurrency, 'expected the ISO 4217 code of a currency, e.g. EUR')
        .meta({ pattern: '^[A-Z]{3}$' }),
    }),
    /** What it cost before, in minor units of the same currency. */
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

/** Unix time in seconds: the newest second that the page has. */
export const liveSince = z.strictObject({
  since: wholeFromText(0, 10_000_000_000).optional(),
});

export const orderSearch = z.strictObject({
  q: z.string().trim().max(254).default(''),
  saleId: id.optional(),
  status: settledStatus.extract(['paid', 'rejected', 'cancelled']).optional(),
  /** Of a sale's orders it is a number of the event log, of a buyer's orders a time and an id. */
  cursor: z
    .string()
    .regex(/^(\d{1,10}|\d{13}\.[\w-]{1,64})$/, previousCursor)
    .optional(),
});

/** Where events go: http or https, and nothing in it that belongs into a header. */
export const newWebhook = z.strictObject({
  // The check of a URL drops blanks and line breaks within it, as `new URL` does: they are looked for before.
  url: z
    .string()
    .max(2_000)
    .regex(/^[\x21-\x7e]+$/, 'expected printable ASCII: a host in Punycode, other characters percent-encoded')
    .meta({ format: 'uri' })
    .pipe(z.url({ protocol: /^https?$/ }))
    .refine((text) => !URL.canParse(text) || !(new URL(text).username || new URL(text).password), {
      error: 'expected no user and password in it',
    }),
  types: z.array(z.enum(webhookTypes)).min(1).max(webhookTypes.length),
});

/** A place in a list that is sorted by time: Unix time in ms, and an id. */
const timeCursor = z
  .string()
  .regex(/^\d{1,15}\.[\w:.-]{1,200}$/, previousCursor)
  .optional();

export const newestList = z.strictObject({
  cursor: timeCursor,
  limit: wholeFromText(1, 100).default(20),
});

/** A page of a list whose pages have one size. */
export const pageAfter = z.strictObject({ cursor: timeCursor });

export const unsentMailList = z.strictObject({
  limit: wholeFromText(1, 100).default(20),
  state: unsentState.optional(),
});

export const byEventId = z.strictObject({
  id: z.string().regex(/^[\w-]{1,64}:\d{1,15}:\d{1,9}$/, "expected an event's id"),
});

/** Two words with a dot between them. */
export const byEventType = z.strictObject({ type: z.string().max(64) });

export const purchaseRequest = z.strictObject({ quantity: units });

/** Printable ASCII, as RFC 9110 has it for a header, and short enough to be kept for a day. */
export const idempotencyKey = z
  .string()
  .regex(/^[\x21-\x7e]{1,255}$/, 'expected 1 to 255 printable ASCII characters');

export const orderList = z.strictObject({
  cursor: z
    .string()
    .regex(/^[0-9]{13}\.[A-Za-z0-9_-]{22}$/, previousCursor)
    .optional(),
  limit: wholeFromText(1, 100).default(20),
});
