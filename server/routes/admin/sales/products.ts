import { z } from 'zod';
import { changeProduct, createProduct, isPicturePath, listProducts } from '../../../../catalogue/product.ts';
import { nextCursor, product } from '../../../../sale/contract.ts';
import { listSnapshotsOf } from '../../../../sale/sale.ts';
import { byId, name, pageAfter, prose } from '../../../http/inputs.ts';
import { refuse } from '../../../http/problems.ts';
import { byOf, type Route, route } from '../../../http/route.ts';
import type { Shop } from '../../../shop.ts';

const picturePath = z
  .string()
  .max(500)
  .refine(
    (path) => path === '' || isPicturePath(path),
    'expected a path on this site, e.g. /images/lamp.svg, or an https address',
  )
  .meta({ pattern: '^((/[A-Za-z0-9_-][A-Za-z0-9_.-]*)+|https://\\S+|)$' });
const pictures = z.array(picturePath).max(8);

const newProduct = z.strictObject({
  name: name(200),
  description: prose(5_000).default(''),
  image: picturePath.default(''),
  images: pictures.default([]),
});

const productChange = z
  .strictObject({
    name: name(200).optional(),
    description: prose(5_000).optional(),
    image: picturePath.optional(),
    images: pictures.optional(),
  })
  .refine((change) => Object.values(change).some((value) => value !== undefined), {
    error: 'expected at least one of name, description, image, images',
  });

export const productRoutes = ({ collections, announceSale }: Shop): Route[] => [
  route({
    method: 'post',
    path: '/api/products',
    access: 'admin',
    scope: 'sales:write',
    summary: 'Make a product',
    body: newProduct,
    answer: [201, product],
    async handle({ body, ...call }) {
      return { status: 201, body: await createProduct(collections, body, byOf(call)) };
    },
  }),
  route({
    method: 'patch',
    path: '/api/products/:id',
    access: 'admin',
    scope: 'sales:write',
    summary: 'Change a product',
    params: byId,
    body: productChange,
    answer: [200, product],
    problems: ['not-found'],
    async handle({ params, body, ...call }) {
      const changed = await changeProduct(collections, params.id, body, byOf(call));
      if (!changed) return noProduct(params.id);
      // Pages show the product as a part of its sales, so the sales are announced.
      for (const snapshot of await listSnapshotsOf(collections, changed)) announceSale(snapshot);
      return { status: 200, body: changed };
    },
  }),
  route({
    method: 'get',
    path: '/api/admin/products',
    access: 'viewer',
    scope: 'sales:read',
    summary: 'The products, newest first, page by page',
    query: pageAfter,
    answer: [200, z.object({ products: z.array(product), nextCursor })],
    handle: async ({ query }) => ({ status: 200, body: await listProducts(collections, query.cursor) }),
  }),
];

export const noProduct = (id: string) => refuse('not-found', `There is no product ${id}`);
