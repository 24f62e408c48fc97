/** Every request of the control room. */

/** @import { AdminOrderPage, LiveFigures, Picture, SaleMinute, SaleReport } from '../../sale/admin-contract.ts' */
/** @import { Product, SaleSnapshot } from '../../sale/contract.ts' */
/** @import { DeadLetter } from '../../sale/queue.ts' */

import { ask, askOnce, download, send } from './ask.js';

/** @param {number | null} since the newest second that is known @returns {Promise<LiveFigures>} */
export const askLive = (since) => ask('GET', since === null ? '/admin/live' : `/admin/live?since=${since}`);

export const startAudit = () => ask('POST', '/admin/audits');

/** @returns {Promise<{ path: string }>} */
export const openQueues = () => ask('POST', '/admin/queue-visits');

/** @returns {Promise<Product[]>} */
export const fetchProducts = async () => (await ask('GET', '/admin/products')).products;

/** @param {Blob} file @returns {Promise<Picture>} */
export const uploadPicture = (file) => ask('POST', '/admin/pictures', { file });

/** @param {string | null} id a new one without @param {object} product @returns {Promise<Product>} */
export const saveProduct = (id, product) =>
  id ? ask('PATCH', `/products/${id}`, { body: product }) : ask('POST', '/products', { body: product });

/** @param {object} sale @returns {Promise<SaleSnapshot>} */
export const createSale = (sale) => askOnce('POST', '/sales', sale);

/** @param {string} id @param {object} change @returns {Promise<SaleSnapshot>} */
export const changeSale = (id, change) => askOnce('PATCH', `/sales/${id}`, change);

/** @param {string} id @returns {Promise<SaleReport>} */
export const fetchReport = (id) => ask('GET', `/admin/sales/${encodeURIComponent(id)}/report`);

/** @param {string} id @returns {Promise<SaleMinute[]>} */
export const fetchMinutes = async (id) =>
  (await ask('GET', `/admin/sales/${encodeURIComponent(id)}/minutes`)).minutes;

/** @param {Record<string, string>} query @returns {Promise<AdminOrderPage>} */
export const searchOrders = (query) => ask('GET', `/admin/orders?${new URLSearchParams(query)}`);

/** @param {string} id */
export async function downloadOrders(id) {
  const response = await send('GET', `/admin/sales/${encodeURIComponent(id)}/orders.csv`);
  download(await response.blob(), `orders-${id}.csv`);
}

/** @returns {Promise<DeadLetter[]>} */
export const fetchLetters = async () => (await ask('GET', '/admin/dead-letters?limit=100')).deadLetters;

/** @param {string} id */
export const republishLetter = (id) => ask('POST', `/admin/dead-letters/${id}/republish`);

/** @param {string} id */
export const discardLetter = (id) => ask('DELETE', `/admin/dead-letters/${id}`);
