/** Every request of the control room. */

/** @import { AdminOrderPage, LiveFigures, Picture, SaleMinute, SaleReport } from '../../insight/contract.ts' */
/** @import { DeadLetter, Product, SalePage, SaleSnapshot } from '../../sale/contract.ts' */

import { ask, askOnce, download, send } from './ask.js';

/** Orders come as fast as they are read: a million of them take a while. */
const DOWNLOAD_DEADLINE_MS = 15 * 60_000;

/** @param {number | null} since the newest second that is known @returns {Promise<LiveFigures>} */
export const askLive = (since) => ask('GET', since === null ? '/admin/live' : `/admin/live?since=${since}`);

export const startAudit = () => ask('POST', '/admin/audits');

/** @returns {Promise<{ path: string }>} */
export const openQueues = () => ask('POST', '/admin/queue-visits');

/**
 * A page of the products, newest first.
 * @param {string | null} [cursor] the `nextCursor` of the page before
 * @returns {Promise<{ products: Product[], nextCursor: string | null }>}
 */
export async function fetchProducts(cursor = null) {
  // A server of the version before knows no cursor.
  const { products, nextCursor = null } = await ask('GET', `/admin/products${after(cursor)}`);
  return { products, nextCursor };
}

/** Every product. @returns {Promise<Product[]>} */
export async function fetchAllProducts() {
  const { products, nextCursor } = await fetchProducts();
  for (let cursor = nextCursor; cursor !== null; ) {
    const page = await fetchProducts(cursor);
    products.push(...page.products);
    cursor = page.nextCursor;
  }
  return products;
}

/** @param {string} cursor @returns {Promise<SalePage>} */
export const fetchOlderSales = (cursor) => ask('GET', `/sales${after(cursor)}`);

/** @param {string | null} cursor */
const after = (cursor) => (cursor === null ? '' : `?cursor=${encodeURIComponent(cursor)}`);

/** @param {Blob} file @returns {Promise<Picture>} */
export const uploadPicture = (file) => ask('POST', '/admin/pictures', { file });

/** @param {string | null} id a new one without @param {object} product @returns {Promise<Product>} */
export const saveProduct = (id, product) =>
  id
    ? ask('PATCH', `/products/${encodeURIComponent(id)}`, { body: product })
    : ask('POST', '/products', { body: product });

/** @param {object} sale @returns {Promise<SaleSnapshot>} */
export const createSale = (sale) => askOnce('POST', '/sales', sale);

/** @param {string} id @param {object} change @returns {Promise<SaleSnapshot>} */
export const changeSale = (id, change) => askOnce('PATCH', `/sales/${encodeURIComponent(id)}`, change);

/** @param {string} id @returns {Promise<SaleReport>} */
export const fetchReport = (id) => ask('GET', `/admin/sales/${encodeURIComponent(id)}/report`);

/** @param {string} id @returns {Promise<{ minutes: SaleMinute[], nextCursor: string | null }>} */
export const fetchMinutes = (id) => ask('GET', `/admin/sales/${encodeURIComponent(id)}/minutes`);

/** @param {Record<string, string>} query @returns {Promise<AdminOrderPage>} */
export const searchOrders = (query) => ask('GET', `/admin/orders?${new URLSearchParams(query)}`);

/** @param {string} id */
export async function downloadOrders(id) {
  const path = `/admin/sales/${encodeURIComponent(id)}/orders.csv`;
  const response = await send('GET', path, { deadlineMs: DOWNLOAD_DEADLINE_MS });
  download(await response.blob(), `orders-${id}.csv`);
}

/** The newest. @returns {Promise<{ deadLetters: DeadLetter[], total: number }>} */
export const fetchLetters = () => ask('GET', '/admin/dead-letters?limit=100');

/** @param {string} id */
export const republishLetter = (id) => ask('POST', `/admin/dead-letters/${encodeURIComponent(id)}/republish`);

/** @param {string} id */
export const discardLetter = (id) => ask('DELETE', `/admin/dead-letters/${encodeURIComponent(id)}`);
