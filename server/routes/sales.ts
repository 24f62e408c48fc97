import { createHash } from 'node:crypto';
import type { z } from 'zod';
import { changeProduct, createProduct, listProducts } from '../../catalogue/product.ts';
import { singleFlight } from '../../runtime/single-flight.ts';
import type { SaleSnapshot } from '../../sale/contract.ts';
import {
  createSale,
  createSaleOnce,
  listSnapshots,
  listSnapshotsOf,
  readSaleSnapshot,
  snapshotOfRecord,
} from '../../sale/sale.ts';
import type { SaleChangeRefusal } from '../../sale/sale-change.ts';
import { type HttpRequest, parse } from '../http/pipeline.ts';
import { isRefusal, type Refusal, refuse } from '../http/problems.ts';
import type { Answer, Call } from '../http/route.ts';
import { takesEffectSoon } from '../live/announcements.ts';
import { openToAnySite } from '../pages/pages.ts';
import type { Shop } from '../shop.ts';
import {
  type byId,
  idempotencyKey,
  type newProduct,
  type newSale,
  type pageAfter,
  type productChange,
  type saleChange,
} from './inputs.ts';

type ById = z.infer<typeof byId>;

/** A crowd that reloads at once costs MongoDB one read, not one each. */
export function salesReader({ collections }: Shop) {
  const read = singleFlight((saleId) => readSaleSnapshot(collections, saleId));
  const readPage = singleFlight((cursor) => listSnapshots(collections, cursor || undefined));
  return {
    async list({ query }: Call<unknown, z.infer<typeof pageAfter>, unknown, null>): Promise<Answer> {
      const page = await readPage(query.cursor ?? '');
      return { status: 200, body: page, headers: validator(page.sales, page.nextCursor) };
    },
    async one({ params }: Call<ById, unknown, unknown, null>): Promise<Answer | Refusal> {
      const snapshot = await read(params.id);
      if (!snapshot) return noSale(params.id);
      return { status: 200, body: snapshot, headers: { ...validator([snapshot]), ...openToAnySite } };
    },
  };
}

export async function addProduct(
  { collections }: Shop,
  { body }: Call<unknown, unknown, z.infer<typeof newProduct>>,
): Promise<Answer> {
  return { status: 201, body: await createProduct(collections, body) };
}

/** Pages show the product with its sales, so they are told of these. */
export async function editProduct(
  { collections, announceSale }: Shop,
  { params, body }: Call<ById, unknown, z.infer<typeof productChange>>,
): Promise<Answer | Refusal> {
  const product = await changeProduct(collections, params.id, body);
  if (!product) return refuse('not-found', `There is no product ${params.id}`);
  for (const snapshot of await listSnapshotsOf(collections, product)) announceSale(snapshot);
  return { status: 200, body: product };
}

export async function showProducts(
  { collections }: Shop,
  { query }: Call<unknown, z.infer<typeof pageAfter>>,
): Promise<Answer> {
  return { status: 200, body: await listProducts(collections, query.cursor) };
}

export async function addSale(
  { collections, announceSale }: Shop,
  { body, identity, request }: Call<unknown, unknown, z.infer<typeof newSale>>,
): Promise<Answer | Refusal> {
  const key = keyIn(request);
  if (isRefusal(key)) return key;
  const snapshot = key
    ? await createSaleOnce(collections, body, { adminId: identity.userId, idempotencyKey: key })
    : await createSale(collections, body);
  if (snapshot === 'key_reused') return keyReused('This key made another sale before');
  if (!snapshot) return refuse('not-found', `There is no product ${body.productId}`);
  announceSale(snapshot);
  return { status: 201, body: snapshot, headers: { Location: `/api/sales/${snapshot.id}` } };
}

/** With an Idempotency-Key the same change may come again: it is made once, and answered the same. */
export async function editSale(
  { collections, changeSale }: Shop,
  { params, body, request }: Call<ById, unknown, z.infer<typeof saleChange>>,
): Promise<Answer | Refusal> {
  const key = keyIn(request);
  if (isRefusal(key)) return key;
  const changed = await changeSale({ saleId: params.id, change: body, idempotencyKey: key });
  if (typeof changed === 'string') return refusalOf(changed, params.id);
  const snapshot = await snapshotOfRecord(collections, changed.sale);
  if (!snapshot) return noSale(params.id);
  const headers = { ...(key && { 'Idempotency-Key': key }), ...(!changed.isAnnounced && takesEffectSoon) };
  return { status: 200, body: snapshot, headers };
}

function refusalOf(refusal: SaleChangeRefusal, saleId: string): Refusal {
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

const keyIn = (request: HttpRequest) =>
  parse(idempotencyKey.optional(), request.header('idempotency-key'), 'Idempotency-Key');

function keyReused(what: string): Refusal {
  return refuse('key-reused', `${what}; expected the same again, or a new key`);
}

export function noSale(saleId: string): Refusal {
  return refuse('not-found', `There is no sale ${saleId}`);
}

/** The ETag leaves out the server's clock, which never stands still. */
function validator(snapshots: SaleSnapshot[], nextCursor: string | null = null): Record<string, string> {
  const timeless = snapshots.map(({ serverTime, ...rest }) => rest);
  const hash = createHash('sha1')
    .update(JSON.stringify([timeless, nextCursor]))
    .digest('base64url');
  return { ETag: `"${hash}"`, 'Cache-Control': 'no-cache' };
}
