/** The requests of the control room, one function for each endpoint. */

/** @import { AdminOrderPage, LiveFigures, Picture, RehearsalStatus, SaleMinute, SaleReport } from '../../insight/contract.ts' */
/** @import { CodeBatch, DeadLetter, Draw, Product, RoomStatus, SalePage, SaleSnapshot } from '../../sale/contract.ts' */

import { download, request, requestIdempotently, send, upload } from './http.js';

/** Long enough to export a million orders. */
const DOWNLOAD_DEADLINE_MS = 15 * 60_000;

/** The server answers within two seconds, whatever is away. */
const LIVE_DEADLINE_MS = 3_000;

/** @param {number | null} since the newest second already received @returns {Promise<LiveFigures>} */
export const fetchLive = (since) =>
  request('GET', since === null ? '/admin/live' : `/admin/live?since=${since}`, {
    deadlineMs: LIVE_DEADLINE_MS,
  });

/** @returns {Promise<{ paragraphs: { name: string, text: string }[] }>} */
export const fetchRunbook = () => request('GET', '/admin/runbook');

export const startAudit = () => request('POST', '/admin/audits');

/** @returns {Promise<{ path: string }>} */
export const createQueueVisit = () => request('POST', '/admin/queue-visits');

/**
 * A page of the products, newest first.
 * @param {string | null} [cursor] the `nextCursor` of the previous page
 * @returns {Promise<{ products: Product[], nextCursor: string | null }>}
 */
export async function fetchProducts(cursor = null) {
  // A server of the previous version sends no cursor.
  const { products, nextCursor = null } = await request('GET', `/admin/products${after(cursor)}`);
  return { products, nextCursor };
}

/** All products, from all pages. @returns {Promise<Product[]>} */
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
export function fetchMoreSales(cursor) {
  // A server of the version before lists the sales that end last first, and has cursors without letters.
  const order = /^[a-z]/.test(cursor) ? '&order=for-buyers' : '';
  return request('GET', `/sales${after(cursor)}${order}`);
}

/** @param {string | null} cursor */
const after = (cursor) => (cursor === null ? '' : `?cursor=${encodeURIComponent(cursor)}`);

/** @param {Blob} file @param {(share: number) => void} onProgress @returns {Promise<Picture>} */
export const uploadPicture = (file, onProgress) => upload('/admin/pictures', file, onProgress);

/** @param {string | null} id null creates a new product @param {object} product @returns {Promise<Product>} */
export const saveProduct = (id, product) =>
  id
    ? request('PATCH', `/products/${encodeURIComponent(id)}`, { body: product })
    : request('POST', '/products', { body: product });

/** @param {string} id */
const saleAt = (id) => `/sales/${encodeURIComponent(id)}`;

/** @param {object} sale @returns {Promise<SaleSnapshot>} */
export const createDraft = (sale) => requestIdempotently('POST', '/sales', { ...sale, draft: true });

/** The newest 100 drafts. @returns {Promise<SalePage>} */
export const fetchDrafts = () => request('GET', '/admin/drafts');

/** A draft, and the ETag by which its publication knows that it has not changed since.
 * @param {string} id @returns {Promise<{ sale: SaleSnapshot, etag: string }>} */
export async function fetchDraft(id) {
  const response = await send('GET', saleAt(id));
  return { sale: await response.json(), etag: response.headers.get('ETag') ?? '' };
}

/** @param {string} id @param {string} etag @returns {Promise<SaleSnapshot>} */
export const publishDraft = (id, etag) =>
  request('POST', `${saleAt(id)}/publication`, { headers: { 'If-Match': etag } });

/** @param {string} id */
export const deleteDraft = (id) => request('DELETE', saleAt(id));

/** @param {string} id @returns {Promise<SaleSnapshot>} the new draft */
export const duplicateSale = (id) => requestIdempotently('POST', `${saleAt(id)}/duplicates`);

/** @param {string} id @returns {Promise<SaleSnapshot>} */
export const callOffSale = (id) => request('POST', `${saleAt(id)}/call-off`);

/** @param {string} id @param {object} change @returns {Promise<SaleSnapshot>} */
export const changeSale = (id, change) => requestIdempotently('PATCH', saleAt(id), change);

/** @param {string} id @returns {Promise<RoomStatus>} */
export const fetchRoom = (id) => request('GET', `${saleAt(id)}/room`);

const roomAt = (/** @type {string} */ id) => `/admin/sales/${encodeURIComponent(id)}/room`;

/** @param {string} id @returns {Promise<{ paused: boolean, message: string | null, extra: number }>} */
export const fetchRoomControl = (id) => request('GET', roomAt(id));

/** @param {string} id @param {object} change */
export const changeRoom = (id, change) => request('PATCH', roomAt(id), { body: change });

const accessAt = (/** @type {string} */ id, /** @type {string} */ what) =>
  `/admin/sales/${encodeURIComponent(id)}/${what}`;

/** @param {string} id @returns {Promise<{ people: number }>} */
export const fetchListed = (id) => request('GET', accessAt(id, 'list'));

/** @param {string} id @param {string} text of a CSV, or lines @returns {Promise<{ people: number }>} */
export const replaceList = (id, text) =>
  upload(accessAt(id, 'list'), new Blob([text], { type: 'text/csv' }), () => {});

/** @param {string} id @returns {Promise<{ batches: CodeBatch[] }>} */
export const fetchCodeBatches = (id) => request('GET', accessAt(id, 'codes'));

/** @param {string} id @param {object} body @returns {Promise<{ batch: CodeBatch, codes: string[] }>} */
export const createCodes = (id, body) => request('POST', accessAt(id, 'codes'), { body });

/** @param {string} id @param {string} batchId */
export const revokeCodeBatch = (id, batchId) =>
  request('DELETE', accessAt(id, `codes/${encodeURIComponent(batchId)}`));

/** @param {string} id @param {string} code @returns {Promise<{ uses: number, used: number }>} */
export const revokeCode = (id, code) => request('POST', accessAt(id, 'code-revocations'), { body: { code } });

/** @param {string} id @returns {Promise<SaleReport>} */
export const fetchReport = (id) => request('GET', `/admin/sales/${encodeURIComponent(id)}/report`);

/** @param {string} id @returns {Promise<Draw>} */
export const fetchDraw = (id) => request('GET', `/sales/${encodeURIComponent(id)}/draw`);

/** @param {string} id @returns {Promise<Draw>} */
export const waiveBeacon = (id) => request('POST', `/sales/${encodeURIComponent(id)}/draw/without-beacon`);

/** @param {string} id @returns {Promise<{ minutes: SaleMinute[], nextCursor: string | null }>} */
export const fetchMinutes = (id) => request('GET', `/admin/sales/${encodeURIComponent(id)}/minutes`);

/** @param {Record<string, string>} query @returns {Promise<AdminOrderPage>} */
export const searchOrders = (query) => request('GET', `/admin/orders?${new URLSearchParams(query)}`);

/** @param {string} id */
export async function downloadOrders(id) {
  const path = `/admin/sales/${encodeURIComponent(id)}/orders.csv`;
  const response = await send('GET', path, { deadlineMs: DOWNLOAD_DEADLINE_MS });
  download(await response.blob(), `orders-${id}.csv`);
}

/** @returns {Promise<RehearsalStatus>} */
export const fetchRehearsals = () => request('GET', '/admin/rehearsals');

/** @param {string} id @param {object} body */
export const startRehearsal = (id, body) =>
  request('POST', `/admin/sales/${encodeURIComponent(id)}/rehearsals`, { body });

/** Saves what the last rehearsal found as a page. @param {string} id */
export async function downloadRehearsal(id) {
  const response = await send('GET', '/admin/rehearsals/page');
  download(await response.blob(), `rehearsal-${id}.html`);
}

/** The newest 100. @returns {Promise<{ deadLetters: DeadLetter[], total: number }>} */
export const fetchDeadLetters = () => request('GET', '/admin/dead-letters?limit=100');

/** @param {string} id */
export const republishDeadLetter = (id) =>
  request('POST', `/admin/dead-letters/${encodeURIComponent(id)}/republish`);

/** @param {string} id */
export const discardDeadLetter = (id) => request('DELETE', `/admin/dead-letters/${encodeURIComponent(id)}`);
