import { nanoid } from 'nanoid';
import type { Collections, ProductRecord } from './collections.ts';
import type { Product } from './contract.ts';

/** `image` and `images` may both be given; the first picture is the one that stands for the product. */
export interface NewProduct {
  name: string;
  description: string;
  image: string;
  images?: string[];
}

export type ProductChange = { [Field in keyof NewProduct]?: NewProduct[Field] | undefined };

const listedProducts = 200;

export async function createProduct({ products }: Collections, product: NewProduct): Promise<Product> {
  const { name, description } = product;
  const record: ProductRecord = {
    _id: nanoid(),
    name,
    description,
    ...picturesOf(product),
    createdAt: new Date(),
  };
  await products.create(record);
  return productOf(record);
}

/** @returns the product as it is now; null when there is none. */
export async function changeProduct(
  { products }: Collections,
  productId: string,
  { image, images, ...change }: ProductChange,
): Promise<Product | null> {
  const given = Object.entries(change).filter(([, value]) => value !== undefined);
  const pictures = image === undefined && images === undefined ? {} : picturesOf({ image, images });
  const $set = { ...Object.fromEntries(given), ...pictures };
  const record = await products
    .findByIdAndUpdate(productId, { $set }, { returnDocument: 'after' })
    .lean<ProductRecord>();
  return record && productOf(record);
}

/** The newest first, at most 200. */
export async function listProducts({ products }: Collections): Promise<Product[]> {
  const records = await products.find().sort({ createdAt: -1 }).limit(listedProducts).lean<ProductRecord[]>();
  return records.map(productOf);
}

export function productOf({ _id, name, description, image, images }: ProductRecord): Product {
  return { id: _id, name, description, ...picturesOf({ image, images }) };
}

function picturesOf({ image, images }: { image?: string | undefined; images?: string[] | undefined }) {
  const all = [...new Set([image, ...(images ?? [])])].filter((path) => path !== undefined && path !== '');
  return { image: all[0] ?? '', images: all as string[] };
}
