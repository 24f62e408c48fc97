import type { ClientSession } from 'mongoose';
import { nanoid } from 'nanoid';
import { appendStaffEntry, type By, changeInTurn } from '../accounts/staff-log.ts';
import { mongoClock } from '../runtime/clock.ts';
import { transact } from '../runtime/databases/transact.ts';
import type { Product } from '../sale/contract.ts';
import type { Collections, ProductRecord } from '../store/collections.ts';
import { afterCursor, pageOf } from '../store/time-cursor.ts';

/** `image` and `images` may both be given; the first picture of both is the product's main picture. */
export interface NewProduct {
  name: string;
  description: string;
  image: string;
  images?: string[];
}

export type ProductChange = { [Field in keyof NewProduct]?: NewProduct[Field] | undefined };

/**
 * Whether a path is safe to put into a page: `//evil.example` and `/\\evil.example` would name another host, and dot
 * segments another path.
 */
const isOwnPath = (path: string) => /^(?:\/[A-Za-z0-9_-][A-Za-z0-9_.-]*)+$/.test(path);

/** Whether a picture may be shown: it is on this site, or at an https address that is written as browsers write it. */
export function isPicturePath(path: string): boolean {
  if (isOwnPath(path)) return true;
  if (!URL.canParse(path)) return false;
  const { protocol, href, username, password } = new URL(path);
  return protocol === 'https:' && href === path && username === '' && password === '';
}

export async function createProduct(collections: Collections, product: NewProduct, by: By): Promise<Product> {
  const { name, description } = product;
  const record: ProductRecord = {
    _id: nanoid(),
    name,
    description,
    ...picturesOf(product),
    createdAt: mongoClock.now(),
  };
  const after = productOf(record);
  await transact(collections.connection, async (session) => {
    await collections.products.insertOne(record, { session });
    const subject = { kind: 'product', id: record._id };
    await appendStaffEntry(collections, session, { ...by, action: 'product.created', subject, after });
  });
  return after;
}

/** @returns the changed product; null when it does not exist. */
export async function changeProduct(
  collections: Collections,
  productId: string,
  { image, images, ...change }: ProductChange,
  by: By,
): Promise<Product | null> {
  const given = Object.entries(change).filter(([, value]) => value !== undefined);
  const pictures = image === undefined && images === undefined ? {} : picturesOf({ image, images });
  const $set = { ...Object.fromEntries(given), ...pictures };
  const update = async (session: ClientSession) => {
    const record = await collections.products.findOneAndUpdate({ _id: productId }, { $set }, { session });
    if (!record) return null;
    const [before, after] = [productOf(record), productOf({ ...record, ...$set })];
    const subject = { kind: 'product', id: productId };
    const entry = { ...by, action: 'product.changed', subject, before, after };
    await appendStaffEntry(collections, session, entry);
    return after;
  };
  return await changeInTurn(productId, () => transact(collections.connection, update));
}

const listedProducts = 100;

/** A page of the products, the newest first. */
export async function listProducts(
  { products }: Collections,
  cursor?: string,
): Promise<{ products: Product[]; nextCursor: string | null }> {
  const found = await products
    .find(afterCursor('createdAt', cursor))
    .sort({ createdAt: -1, _id: -1 })
    .limit(listedProducts + 1)
    .toArray();
  const { page, nextCursor } = pageOf(found, 'createdAt', listedProducts);
  return { products: page.map(productOf), nextCursor };
}

export function productOf({ _id, name, description, image, images }: ProductRecord): Product {
  return { id: _id, name, description, ...picturesOf({ image, images }) };
}

function picturesOf({ image, images }: { image?: string | undefined; images?: string[] | undefined }) {
  // Filtered again, because older records were stored before paths were validated like this.
  const all = [...new Set([image, ...(images ?? [])])].filter(
    (path) => path !== undefined && isPicturePath(path),
  );
  return { image: all[0] ?? '', images: all as string[] };
}
