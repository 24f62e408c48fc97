import { nanoid } from 'nanoid';
import type { Collections, ProductRecord } from './collections.ts';
import type { Product } from './contract.ts';

export type NewProduct = Omit<Product, 'id'>;

export async function createProduct({ products }: Collections, product: NewProduct): Promise<Product> {
  const record: ProductRecord = { _id: nanoid(), ...product, createdAt: new Date() };
  await products.create(record);
  return productOf(record);
}

export function productOf({ _id, name, description, image }: ProductRecord): Product {
  return { id: _id, name, description, image };
}
