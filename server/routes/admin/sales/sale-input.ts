import { z } from 'zod';
import { isCurrency } from '../../../../public/shared/money.js';
import { isSite } from '../../../../runtime/config.ts';
import { hasSiteCodes, phasesFault } from '../../../../sale/access/access.ts';
import type { AgainstBots } from '../../../../sale/bots/demands.ts';
import {
  language,
  maxItems,
  maxPhases,
  networkLimit,
  phaseAccess,
  proofOfWork,
  roomSite,
  saleMode,
} from '../../../../sale/contract.ts';
import type { NewItem } from '../../../../sale/items.ts';
import { choicesOf, type NewSale } from '../../../../sale/sale.ts';
import type { SaleChange } from '../../../../sale/sale-change.ts';
import { id, instant, itemId, line, units } from '../../../http/inputs.ts';

/** What staff send to make a sale or to change one. */

const amount = z.int().min(0).max(1_000_000_000_000);
export const price = z.strictObject({
  amount,
  currency: z
    .string()
    .refine(isCurrency, 'expected the ISO 4217 code of a currency, e.g. EUR')
    .meta({ pattern: '^[A-Z]{3}$' }),
});
/** The former price, in minor units of the same currency. */
const oldAmount = amount.min(1);
const stock = z.int().min(0).max(1_000_000_000);

const cancelWindow = z
  .int()
  .min(0)
  .max(366 * 86_400)
  .nullable()
  .optional()
  .describe(
    'For how long after the end a buyer may cancel an order, an hour by default; null: only the shop may',
  );

const drawAt = instant.describe(
  'Only of a draw: people enter from opensAt until then; units are offered until closesAt',
);
const drawBeacon = z
  .boolean()
  .describe('Whether the draw depends on a round of drand as well, which nobody knows before');
const roomPerMinute = z
  .int()
  .min(1)
  .max(100_000)
  .describe('Only with a waiting room: how many people a minute are let in, at most');
const site = roomSite.extend({
  url: roomSite.shape.url
    .refine(isSite, 'expected an http(s) address without a query, e.g. https://shop.example.com/drop')
    .transform((url) => new URL(url).href),
});
const waitingList = z.boolean().describe('Whether people can wait for units that come back after a sell-out');
const phases = z
  .array(
    z.strictObject({
      name: line(40).min(1),
      opensAt: instant,
      access: phaseAccess,
    }),
  )
  .max(maxPhases)
  .describe(
    'Who may buy from when on: the first phase begins with the sale, and each lasts until its end. None: everybody from the opening on',
  );
/** What a sale demands against bots; it can be changed at any time. */
const demands = {
  proofOfWork: z
    .union(
      [z.literal('off'), proofOfWork],
      'expected `off`, or {bits} with, where wished, opening {bits, seconds} and load {bits, backlog}',
    )
    .optional()
    .describe('A puzzle before a purchase, a place or an entry; pages solve it by themselves'),
  networkLimit: z
    .union([z.literal('off'), networkLimit], 'expected `off`, or {people, of}')
    .optional()
    .describe('How many people from one network can buy, join or enter'),
  captcha: z
    .boolean()
    .optional()
    .describe('Whether joining and entering need the captcha of CAPTCHA_PROVIDER; buying needs none'),
};

const paymentWindow = z
  .int()
  .min(0)
  .max(86_400)
  .describe('For how long an order is held until it is paid; with 0 it is paid at once');

const newItem = z.strictObject({
  productId: id,
  /** May be empty; then the product alone says what the item is. */
  label: line(40).default(''),
  price,
  oldAmount: oldAmount.nullish(),
  stock,
  limitPerBuyer: units.nullable().default(null),
});
/** With the id of an item that the sale has already, its orders and pages go on with it. */
const changedItem = newItem.extend({ id: itemId.optional() });

type SentItem = z.infer<typeof changedItem>;

type RefuseField = (path: (string | number)[], message: string) => void;

/** A sale with one item may have the item's fields in the sale itself. */
export const newSale = z
  .strictObject({
    productId: id.optional(),
    price: price.optional(),
    oldAmount: oldAmount.optional(),
    stock: stock.optional(),
    items: z.array(newItem).min(1).max(maxItems).optional(),
    limitPerBuyer: units.default(1),
    requiresVerifiedEmail: z
      .boolean()
      .optional()
      .describe('Whether only buyers who have confirmed their address may buy'),
    phases: phases.optional(),
    language: language.optional().describe('Of the mails to buyers whose account has no language'),
    cancelWindowSeconds: cancelWindow,
    paymentWindowSeconds: paymentWindow.default(0),
    mode: saleMode
      .optional()
      .describe(
        'How units are given out: in a `draw` people enter, and lots decide; from a `room` people are called in turn',
      ),
    roomPerMinute: roomPerMinute.optional(),
    site: site.optional(),
    drawAt: drawAt.optional(),
    drawBeacon: drawBeacon.optional(),
    waitingList: waitingList.optional(),
    ...demands,
    opensAt: instant,
    closesAt: instant,
    draft: z.boolean().default(false).describe('Made for staff only, until it is published'),
    free: z.boolean().default(false).describe('Confirms a price of 0, which a draft needs'),
  })
  .check(({ value: sale, issues }) => {
    const refuse: RefuseField = (path, message) =>
      issues.push({ code: 'custom', input: sale, path, message });
    if (sale.opensAt >= sale.closesAt) refuse(['closesAt'], 'expected a time after opensAt');
    const { mode, drawAt: at, opensAt, closesAt } = sale;
    if (mode === 'draw' ? !at || at <= opensAt || at >= closesAt : at) refuse(['drawAt'], drawOutside);
    // A time that cannot be read is refused at its own field.
    const { phases = [] } = sale;
    const times: unknown[] = [opensAt, closesAt, ...phases.map((phase) => phase.opensAt)];
    const areTimes = times.every((time) => time instanceof Date && !Number.isNaN(time.getTime()));
    const fault = areTimes ? phasesFault(phases, sale) : null;
    if (fault) refuse(['phases'], fault);
    if (mode !== 'room' && sale.roomPerMinute !== undefined) refuse(['roomPerMinute'], paceOutside);
    if (mode !== 'room' && sale.site) refuse(['site'], paceOutside);
    if (hasSiteCodes(sale)) refuse(['phases'], codesAtSite);
    if (mode === 'room' && sale.waitingList) refuse(['waitingList'], listInRoom);
    for (const field of ['productId', 'price', 'stock'] as const) {
      const isGiven = sale[field] !== undefined;
      if (sale.items && isGiven) refuse([field], 'expected it in the items, not beside them');
      if (!sale.items && !isGiven) refuse([field], 'expected it, or items');
    }
    if (sale.items && sale.oldAmount !== undefined)
      refuse(['oldAmount'], 'expected it in the items, not beside them');
    const items = itemsIn(sale);
    checkItems(items, sale.items ? ['items'] : null, refuse);
    const dearest = Math.max(0, ...items.map((item) => item.price.amount));
    if (dearest * sale.limitPerBuyer > Number.MAX_SAFE_INTEGER) refuse(['limitPerBuyer'], tooDear);
    if (!sale.draft) return;
    checkDraftItems(items, sale.free, sale.items ? ['items'] : null, refuse);
    const unitsOnSale = items.reduce((sum, item) => sum + item.stock, 0);
    if (sale.limitPerBuyer > unitsOnSale) refuse(['limitPerBuyer'], aboveStock);
  });

export const tooDear = 'expected a limit at which an order costs less than 2^53 minor units';
export const aboveStock = 'expected at most as many as there are units on sale';
export const drawOutside =
  'expected a time after opensAt and before closesAt in a draw, and none in another sale';
export const beaconOutside = 'expected it only in a draw';
export const paceOutside = 'expected it only with a waiting room';
export const codesAtSite =
  'expected no phase with access `code` in front of another site: nothing is bought there, so a code would let in any number of people';
export const listInRoom = 'expected none with a waiting room: who waits there is called when units come back';
export const oldTooLow = 'expected more than the price';

function itemsIn({ items, productId, price, oldAmount, stock }: z.infer<typeof newSale>): SentItem[] {
  if (items) return items;
  if (!productId || !price || stock === undefined) return [];
  return [{ productId, label: '', price, oldAmount, stock, limitPerBuyer: null }];
}

/** @param list the path of the items; null when the only item is in the sale itself. */
function checkItems(items: SentItem[], list: string[] | null, refuse: RefuseField): void {
  const numbers = new Map<string, number>();
  for (const [n, item] of items.entries()) {
    const path = list ? [...list, n] : [];
    const isOwn = item.price.currency === items[0]?.price.currency;
    if (!isOwn) refuse([...path, 'price', 'currency'], 'expected one currency for all items');
    if (item.oldAmount && item.oldAmount <= item.price.amount) refuse([...path, 'oldAmount'], oldTooLow);
    if (items.length === 1 && item.limitPerBuyer !== null)
      refuse([...path, 'limitPerBuyer'], "expected none: the only item has the sale's limit");
    const name = JSON.stringify([item.productId, item.label]);
    const same = numbers.get(name);
    if (same !== undefined) refuse([...path, 'label'], `expected another than that of item ${same + 1}`);
    numbers.set(name, n);
  }
}

/** What a merchant who fills in a form may have overlooked. */
function checkDraftItems(
  items: SentItem[],
  isFree: boolean,
  list: string[] | null,
  refuse: RefuseField,
): void {
  for (const [n, item] of items.entries()) {
    const path = list ? [...list, n] : [];
    if (item.price.amount === 0 && !isFree) refuse([...path, 'price', 'amount'], givesAway);
    if (item.limitPerBuyer !== null && item.limitPerBuyer > item.stock)
      refuse([...path, 'limitPerBuyer'], 'expected at most the stock');
  }
}

const givesAway = 'expected a price above 0, or free: true to give it away';

export function newSaleOf(sale: z.infer<typeof newSale>): NewSale {
  const { limitPerBuyer, cancelWindowSeconds, paymentWindowSeconds, opensAt, closesAt } = sale;
  const sent = itemsIn(sale);
  const currency = sent[0]?.price.currency ?? '';
  const cancelling = cancelWindowSeconds === undefined ? {} : { cancelWindowSeconds };
  const choices = choicesOf({ ...sale, ...demandsIn(sale) });
  const terms = { limitPerBuyer, ...choices, ...cancelling, paymentWindowSeconds };
  return { items: sent.map(newItemOf), currency, ...terms, opensAt, closesAt };
}

function newItemOf({ id, productId, label, price, oldAmount, stock, limitPerBuyer }: SentItem): NewItem {
  const known = id === undefined ? {} : { id };
  return {
    ...known,
    productId,
    label,
    amount: price.amount,
    oldAmount: oldAmount ?? null,
    stock,
    limitPerBuyer,
  };
}

export const saleChange = z
  .strictObject({
    paused: z.boolean().optional(),
    addStock: units.optional(),
    withdrawStock: units.optional().describe('At most the units that are left'),
    itemId: itemId.optional().describe('Whose stock or price changes; needed when there are several items'),
    opensAt: instant.optional(),
    closesAt: instant.optional(),
    cancelWindowSeconds: cancelWindow,
    limitPerBuyer: units.optional().describe('Can only be raised when the sale has opened'),
    itemLimits: z
      .array(z.strictObject({ itemId, limitPerBuyer: units.nullable() }))
      .min(1)
      .max(maxItems)
      .optional()
      .describe('The own limits of items, null for none; they can only be raised when the sale has opened'),
    requiresVerifiedEmail: z.boolean().optional().describe('Until the sale opens, as all that follow'),
    phases: phases.optional(),
    language: language.nullable().optional(),
    paymentWindowSeconds: paymentWindow.optional(),
    price: price.optional(),
    oldAmount: oldAmount.nullish().describe('Null when there is none any more'),
    items: z.array(changedItem).min(1).max(maxItems).optional().describe('All items, as they should be'),
    mode: saleMode.optional().describe('In a draft only'),
    roomPerMinute: roomPerMinute.optional(),
    site: site
      .nullable()
      .optional()
      .describe('Null: none; once the sale is published, only its `inside` changes'),
    drawAt: drawAt.optional(),
    drawBeacon: drawBeacon.optional().describe('In a draft of a draw only'),
    waitingList: waitingList.optional(),
    ...demands,
    free: z.boolean().default(false).describe('Confirms a price of 0'),
  })
  .check(({ value: change, issues }) => {
    const refuse: RefuseField = (path, message) =>
      issues.push({ code: 'custom', input: change, path, message });
    const { free, itemId: ofItem, price, items, ...others } = change;
    if (![price, items, ...Object.values(others)].some(isGiven)) {
      const fields =
        'paused, addStock, withdrawStock, opensAt, closesAt, cancelWindowSeconds, limitPerBuyer, itemLimits, requiresVerifiedEmail, phases, language, paymentWindowSeconds, price, oldAmount, items, mode, roomPerMinute, site, drawAt, drawBeacon, waitingList, proofOfWork, networkLimit, captcha';
      refuse([], `expected at least one of ${fields}`);
    }
    if (
      ofItem !== undefined &&
      ![price, change.oldAmount, change.addStock, change.withdrawStock].some(isGiven)
    )
      refuse(['itemId'], 'expected addStock, withdrawStock, price or oldAmount with it');
    if (items && change.itemLimits) refuse(['itemLimits'], 'expected limits in the items, not beside them');
    const limited = (change.itemLimits ?? []).map((limit) => limit.itemId);
    if (new Set(limited).size < limited.length) refuse(['itemLimits'], 'expected each item once');
    if (items && (price || change.oldAmount !== undefined))
      refuse(['items'], 'expected prices in the items or beside them, not both');
    checkItems(items ?? [], ['items'], refuse);
    checkDraftItems(items ?? [], free, ['items'], refuse);
    if (price?.amount === 0 && !free) refuse(['price', 'amount'], givesAway);
    const known = (items ?? []).flatMap((item) => item.id ?? []);
    if (new Set(known).size < known.length) refuse(['items'], 'expected each id once');
  });

const isGiven = (value: unknown) => value !== undefined;

/** Null for what is off. */
function demandsIn({ proofOfWork, networkLimit }: Pick<z.infer<typeof saleChange>, keyof AgainstBots>) {
  const orNull = <Value>(sent: Value | 'off') => (sent === 'off' ? null : sent);
  return { proofOfWork: orNull(proofOfWork), networkLimit: orNull(networkLimit) };
}

export function saleChangeOf({
  free: _,
  items,
  proofOfWork,
  networkLimit,
  ...others
}: z.infer<typeof saleChange>): SaleChange {
  const change = { ...others, ...demandsIn({ proofOfWork, networkLimit }) };
  if (!items) return change;
  return { ...change, items: { list: items.map(newItemOf), currency: items[0]?.price.currency ?? '' } };
}
