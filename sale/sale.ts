import { hash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import type { ClientSession } from 'mongoose';
import { nanoid } from 'nanoid';
import { appendStaffEntry, type By } from '../accounts/staff-log.ts';
import { productOf } from '../catalogue/product.ts';
import { appendChanges, readChanges } from '../log/events.ts';
import type { Change } from '../log/schemas.ts';
import { mongoClock, redisClock } from '../runtime/clock.ts';
import { transact } from '../runtime/databases/transact.ts';
import { type Collections, isDuplicateKey, type SaleRecord } from '../store/collections.ts';
import { afterCursor, pageOf } from '../store/time-cursor.ts';
import type { PhaseRecord } from './access/access.ts';
import { type AgainstBots, againstBots } from './bots/demands.ts';
import type {
  Language,
  Product,
  RoomSite,
  SaleItem,
  SaleMode,
  SalePage,
  SalePhase,
  SaleSnapshot,
  SaleStatus,
} from './contract.ts';
import { itemRecordsOf, itemsOf, type NewItem, recordOfItems } from './items.ts';
import { changesOfStage, stageOf } from './opening.ts';
import { insertDraw, isDrawn } from './places/draw.ts';
import { publicCountsOf } from './places/reserve.ts';
import { noRehearsals } from './rehearsal.ts';

export interface NewSale extends AgainstBots {
  /** 1 to 50. */
  items: NewItem[];
  /** Of all prices, as ISO 4217 has it. */
  currency: string;
  /** Units of all items together. */
  limitPerBuyer: number;
  /** Whether only buyers with a verified address may buy. */
  requiresVerifiedEmail?: boolean | undefined;
  /** Who may buy from when on; none or absent: everybody from the opening on. */
  phases?: PhaseRecord[] | undefined;
  mode?: SaleMode | undefined;
  /** Only of a waiting room: how many people a minute are let in, at most. */
  roomPerMinute?: number | undefined;
  /** Only of a waiting room: the site in front of which it stands. */
  site?: RoomSite | undefined;
  /** Only of a draw: after `opensAt` and before `closesAt`. */
  drawAt?: Date | undefined;
  /** Only of a draw: it depends on a public random number too, which is known only after the entries are closed. */
  drawBeacon?: boolean | undefined;
  waitingList?: boolean | undefined;
  /** Of the mails to buyers whose account has no language. */
  language?: Language | undefined;
  /** For how long after the sale's end a buyer may cancel an order; null: not at all. */
  cancelWindowSeconds?: number | null | undefined;
  /** For how long an order is held until it is paid; 0 or absent when orders are paid at once. */
  paymentWindowSeconds?: number | undefined;
  opensAt: Date;
  closesAt: Date;
}

/** A buyer may cancel an order for an hour after the sale's end, unless the shop says otherwise. */
const usualCancelWindowSeconds = 3_600;

/** The time from which on a buyer cannot cancel an order of this sale; null when buyers never can. */
export function cancellableUntil({
  closesAt,
  cancelWindowSeconds = usualCancelWindowSeconds,
}: Pick<SaleRecord, 'closesAt' | 'cancelWindowSeconds'>): Date | null {
  if (cancelWindowSeconds === null) return null;
  return new Date(Math.min(closesAt.getTime() + cancelWindowSeconds * 1_000, latestMs));
}

/** The last time that ISO 8601 writes with a year of four digits. */
const latestMs = Date.UTC(9999, 11, 31, 23, 59, 59, 999);

/** @returns the id of the product that does not exist when there is one. */
export async function createSale(
  collections: Collections,
  sale: NewSale,
  by: By,
  id: string = nanoid(),
): Promise<SaleSnapshot | { noProduct: string }> {
  const products = await findProducts(collections, sale.items);
  const noProduct = unknownProduct(sale.items, products);
  if (noProduct) return { noProduct };
  const entry = { ...by, action: 'sale.created', subject: { kind: 'sale', id }, after: sale };
  const record = await transact(collections.connection, async (session) => {
    const made = await insertSale(collections, id, sale, session);
    await appendStaffEntry(collections, session, entry);
    return made;
  });
  return snapshotOf(record, products) as SaleSnapshot;
}

/** Inserts a published sale, and begins its log. */
export async function insertSale(
  collections: Collections,
  id: string,
  sale: NewSale,
  session: ClientSession,
): Promise<SaleRecord> {
  const now = mongoClock.now();
  const phase = stageOf(sale, redisClock.now());
  const record: SaleRecord = { ...saleRecordOf(id, sale, now), phase, publishedAt: now, eventSeq: 1 };
  await collections.sales.insertOne(record, { session });
  const changes = [creationOf(record), ...changesOfStage('scheduled', phase, record)];
  await appendChanges(collections, [{ saleId: id, seq: 1, changes }], now, session);
  if (isDrawn(record)) await insertDraw(collections, record, session);
  return record;
}

/** The record of a sale that is not published. */
export function saleRecordOf(id: string, sale: NewSale, createdAt: Date): SaleRecord {
  const { items, currency, limitPerBuyer, cancelWindowSeconds, paymentWindowSeconds, opensAt, closesAt } =
    sale;
  return {
    _id: id,
    ...recordOfItems(items, currency),
    limitPerBuyer,
    opensAt,
    closesAt,
    ...choicesOf(sale),
    ...(isDrawn(sale) && { drawPending: true }),
    ...(cancelWindowSeconds !== undefined && { cancelWindowSeconds }),
    ...(paymentWindowSeconds && { paymentWindowSeconds }),
    paused: false,
    stockVersion: 0,
    eventSeq: 0,
    revision: 0,
    publishedAt: null,
    createdAt,
  };
}

/** The choices of the shop that a usual sale does not have. */
export function choicesOf({
  phases,
  requiresVerifiedEmail,
  language,
  mode,
  roomPerMinute,
  site,
  drawAt,
  drawBeacon,
  waitingList,
  ...others
}: Pick<NewSale, Choice>): Pick<SaleRecord, Choice> {
  return {
    ...(phases?.length && { phases }),
    ...(requiresVerifiedEmail && { requiresVerifiedEmail }),
    ...(language && { language }),
    ...(mode === 'draw' && { mode, ...(drawAt && { drawAt }), ...(drawBeacon && { drawBeacon }) }),
    ...(mode === 'room' && { mode, ...(roomPerMinute && { roomPerMinute }), ...(site && { site }) }),
    ...(waitingList && { waitingList }),
    ...againstBots(others),
  };
}

type Choice =
  | 'phases'
  | 'requiresVerifiedEmail'
  | 'language'
  | 'mode'
  | 'roomPerMinute'
  | 'site'
  | 'drawAt'
  | 'drawBeacon'
  | 'waitingList'
  | keyof AgainstBots;

/** The id of the first product of these items that does not exist. */
export const unknownProduct = (
  items: { productId: string }[],
  products: ReadonlyMap<string, Product>,
): string | undefined => items.find(({ productId }) => !products.has(productId))?.productId;

export async function findProducts(
  { products }: Pick<Collections, 'products'>,
  items: { productId: string }[],
): Promise<Map<string, Product>> {
  const ids = [...new Set(items.map(({ productId }) => productId))];
  const found = await products.find({ _id: { $in: ids } }).toArray();
  return new Map(found.map((product) => [product._id, productOf(product)]));
}

/**
 * Creates a sale whose id is derived from the admin and the Idempotency-Key, so that a retried request creates one sale.
 * @returns the sale as it is now; `key_reused` when the key created a different sale; the id of a product that does not exist.
 */
export async function createSaleOnce(
  collections: Collections,
  sale: NewSale,
  { by, idempotencyKey }: { by: By; idempotencyKey: string },
): Promise<SaleSnapshot | 'key_reused' | { noProduct: string }> {
  const id = saleIdOf('sale', by, idempotencyKey);
  try {
    return await createSale(collections, sale, by, id);
  } catch (error) {
    if (!isDuplicateKey(error)) throw error;
  }
  const [made] = await readChanges(collections, id, { limit: 1 }).toArray();
  const asked = creationOf({ ...sale, ...recordOfItems(sale.items, sale.currency) });
  const isSame = isDeepStrictEqual(made?.changes[0], asked);
  return (isSame && (await readSaleSnapshot(collections, id))) || 'key_reused';
}

/** The id of what an admin makes with an Idempotency-Key, so that a retried request makes it once. */
export function saleIdOf(what: 'sale' | 'draft', { actor }: By, idempotencyKey: string): string {
  return hash('sha256', `${what}\n${actor.id}\n${idempotencyKey}`, 'base64url').slice(0, 22);
}

/** The log's entry for a new sale. It names the items only where they say more than the sale does. */
export function creationOf(
  sale: Pick<SaleRecord, 'productId' | 'price' | 'stock' | 'limitPerBuyer' | 'opensAt' | 'closesAt'> &
    Pick<NewSale, 'cancelWindowSeconds' | 'paymentWindowSeconds' | Choice> &
    Parameters<typeof itemsOf>[0],
): Extract<Change, { type: 'sale.created' }> {
  const { productId, price, stock, limitPerBuyer, cancelWindowSeconds, paymentWindowSeconds } = sale;
  const { drawAt, phases, ...choices } = choicesOf(sale);
  const items = itemsOf(sale).map(({ id: itemId, ...item }) => ({
    itemId,
    productId: item.productId,
    label: item.label,
    amount: item.amount,
    stock: item.stock,
    limitPerBuyer: item.limitPerBuyer,
  }));
  const isPlain = items.every(
    (item) => items.length === 1 && item.label === '' && item.limitPerBuyer === null,
  );
  return {
    type: 'sale.created',
    productId,
    price,
    stock,
    limitPerBuyer,
    ...(!isPlain && { items }),
    ...choices,
    ...(phases && { phases: phases.map(phaseOf) }),
    ...(drawAt && { drawAt: drawAt.toISOString() }),
    ...(cancelWindowSeconds !== undefined && { cancelWindowSeconds }),
    ...(paymentWindowSeconds && { paymentWindowSeconds }),
    opensAt: sale.opensAt.toISOString(),
    closesAt: sale.closesAt.toISOString(),
  };
}

export async function findSale({ sales }: Collections, saleId: string): Promise<SaleRecord | null> {
  return await sales.findOne({ _id: saleId });
}

export async function readSaleSnapshot(
  collections: Collections,
  saleId: string,
): Promise<SaleSnapshot | null> {
  const sale = await findSale(collections, saleId);
  return sale && (await snapshotOfRecord(collections, sale));
}

export async function snapshotOfRecord(
  collections: Collections,
  sale: SaleRecord,
): Promise<SaleSnapshot | null> {
  return snapshotOf(sale, await findProducts(collections, itemRecordsOf(sale)));
}

const listedSales = 100;

/** The sales with this product that have not ended, at most 100. */
export async function listSnapshotsOf(
  collections: Collections,
  { id: productId }: Product,
): Promise<SaleSnapshot[]> {
  const found = await collections.sales
    .find({
      ...noRehearsals,
      $or: [{ productId }, { 'items.productId': productId }],
      closesAt: { $gt: redisClock.now() },
    })
    .sort({ closesAt: -1 })
    .limit(listedSales)
    .toArray();
  return await snapshotsOf(collections, found);
}

/** One page of all sales, sorted by end time, the latest first. */
export async function listSnapshots(collections: Collections, cursor?: string): Promise<SalePage> {
  const found = await collections.sales
    .find({ $and: [noRehearsals, afterCursor('closesAt', cursor)] })
    .sort({ closesAt: -1, _id: -1 })
    .limit(listedSales + 1)
    .toArray();
  const { page, nextCursor } = pageOf(found, 'closesAt', listedSales);
  return { sales: await snapshotsOf(collections, page), nextCursor };
}

/** The parts of the list for buyers, in their order, each sorted by when it matters next. */
const partsForBuyers = [
  ['open', 'closesAt', 1],
  ['scheduled', 'opensAt', 1],
  ['ended', 'closesAt', -1],
] as const;

function filterOf(part: (typeof partsForBuyers)[number][0], now: Date): object {
  if (part === 'ended') return { $or: [{ closesAt: { $lte: now } }, { calledOffAt: { $ne: null } }] };
  const opening = part === 'open' ? { $lte: now } : { $gt: now };
  return { opensAt: opening, closesAt: { $gt: now }, calledOffAt: null };
}

/**
 * One page of all sales as buyers need them: those that are open, the soonest end first; then those to come, the soonest
 * opening first; then the ended ones, the latest first.
 * @param cursor the part and the place in it of the last sale of the page before.
 */
export async function listForBuyers(collections: Collections, cursor = 'open'): Promise<SalePage> {
  const now = redisClock.now();
  const [from = '', place] = cursor.split(/\.(.*)/);
  const first = partsForBuyers.findIndex(([part]) => part === from);
  const found: { sale: SaleRecord; cursor: string }[] = [];
  for (const [part, field, direction] of partsForBuyers.slice(first)) {
    const after = part === from ? afterCursor(field, place, direction) : {};
    const sales = await collections.sales
      .find({ $and: [noRehearsals, filterOf(part, now), after] })
      .sort({ [field]: direction, _id: direction })
      .limit(listedSales + 1 - found.length)
      .toArray();
    found.push(...sales.map((sale) => ({ sale, cursor: `${part}.${sale[field].getTime()}.${sale._id}` })));
    if (found.length > listedSales) break;
  }
  const page = found.slice(0, listedSales);
  const nextCursor = found.length > listedSales ? (page.at(-1)?.cursor ?? null) : null;
  return {
    sales: await snapshotsOf(
      collections,
      page.map(({ sale }) => sale),
    ),
    nextCursor,
  };
}

async function snapshotsOf(collections: Collections, sales: SaleRecord[]): Promise<SaleSnapshot[]> {
  const products = await findProducts(collections, sales.flatMap(itemRecordsOf));
  return sales.flatMap((sale) => snapshotOf(sale, products) ?? []);
}

function statusOf(sale: SaleRecord, now: Date): SaleStatus {
  const { paused, publishedAt, calledOffAt, mode, site } = sale;
  const { stock } = publicCountsOf(sale);
  if (publishedAt === null) return 'draft';
  if (calledOffAt) return 'called_off';
  const stage = stageOf(sale, now);
  if (stage !== 'open') return stage;
  if (paused) return 'paused';
  return stock === 0 && mode !== 'draw' && !site ? 'sold_out' : 'open';
}

/** @returns null when one of its products does not exist. */
function snapshotOf(sale: SaleRecord, products: ReadonlyMap<string, Product>): SaleSnapshot | null {
  const now = redisClock.now();
  const { currency } = sale.price;
  const moneyOf = (amount: number) => ({ amount, currency });
  const counts = publicCountsOf(sale);
  const items = counts.items.flatMap((item): SaleItem[] => {
    const product = products.get(item.productId);
    if (!product) return [];
    return [
      {
        id: item.id,
        product: { id: product.id, name: product.name, image: product.image },
        label: item.label,
        price: moneyOf(item.amount),
        oldPrice: item.oldAmount ? moneyOf(item.oldAmount) : null,
        stock: item.stock,
        unitsOnSale: item.unitsOnSale,
        limitPerBuyer: item.limitPerBuyer,
      },
    ];
  });
  const [first] = items;
  const product = products.get(sale.productId);
  if (!first || !product || items.length < itemRecordsOf(sale).length) return null;
  return {
    id: sale._id,
    product,
    price: first.price,
    oldPrice: first.oldPrice,
    items,
    status: statusOf(sale, now),
    opensAt: sale.opensAt.toISOString(),
    closesAt: sale.closesAt.toISOString(),
    stock: counts.stock,
    stockVersion: sale.stockVersion,
    unitsOnSale: sale.unitsOnSale,
    limitPerBuyer: sale.limitPerBuyer,
    ...(sale.phases && { phases: sale.phases.map(phaseOf) }),
    ...(sale.requiresVerifiedEmail && { requiresVerifiedEmail: true }),
    ...(isDrawn(sale) && sale.mode && { mode: sale.mode }),
    ...(sale.roomPerMinute && { roomPerMinute: sale.roomPerMinute }),
    ...(sale.site && { site: sale.site }),
    ...(sale.drawAt && { drawAt: sale.drawAt.toISOString() }),
    ...(sale.drawBeacon && { drawBeacon: true }),
    ...(sale.drawnAt && { drawnAt: sale.drawnAt.toISOString() }),
    ...(sale.waitingList && { waitingList: true }),
    ...againstBots(sale),
    ...(sale.language && { language: sale.language }),
    paymentWindowSeconds: sale.paymentWindowSeconds ?? 0,
    cancellableUntil: cancellableUntil(sale)?.toISOString() ?? null,
    serverTime: now.toISOString(),
  };
}

/** The part of a filter that lets a sharded MongoDB send the command only where these sales are. */
export const inSales = (items: { saleId: string }[]) => ({
  saleId: { $in: [...new Set(items.map(({ saleId }) => saleId))] },
});

const phaseOf = ({ name, opensAt, access }: PhaseRecord): SalePhase => ({
  ...{ name, access },
  opensAt: opensAt.toISOString(),
});

/** Groups items by sale id and keeps their order. */
export function groupBySale<Item extends { saleId: string }>(items: Item[]): Map<string, Item[]> {
  const ofSales = new Map<string, Item[]>();
  for (const item of items) {
    const ofSale = ofSales.get(item.saleId);
    if (ofSale) ofSale.push(item);
    else ofSales.set(item.saleId, [item]);
  }
  return ofSales;
}
