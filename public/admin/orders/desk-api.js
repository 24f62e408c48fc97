/** The requests of the order desk, one function for each endpoint. */

/** @import { CancellationAnswers, OrderDetails, OrderNote, SuspectPage } from '../../../insight/contract.ts' */
/** @import { Order } from '../../../sale/contract.ts' */

import { request } from '../http.js';

/** @typedef {{ reason: string, restock: boolean }} Why */

/** The most orders that one request may name. */
const AT_ONCE = 500;

/** @param {string} id */
const pathOf = (id) => `/admin/orders/${encodeURIComponent(id)}`;

/** @param {string} id @returns {Promise<OrderDetails>} */
export const fetchOrderDetails = (id) => request('GET', pathOf(id));

/** @param {string} id @param {Why} why @returns {Promise<Order>} */
export const cancelOrder = (id, why) => request('POST', `${pathOf(id)}/cancellation`, { body: why });

/**
 * Gives money of an order back.
 * @param {string} id
 * @param {{ amount?: number | undefined, reason: string }} refund without an amount all that is left
 * @param {string} key with which it is made once
 * @returns {Promise<OrderDetails>}
 */
export const refundOrder = (id, refund, key) =>
  request('POST', `${pathOf(id)}/refunds`, { body: refund, key });

/**
 * Cancels any number of orders.
 * @param {string[]} ids @param {Why} why
 * @returns {Promise<CancellationAnswers['orders']>}
 */
export async function cancelOrders(ids, why) {
  /** @type {CancellationAnswers['orders']} */
  const answers = [];
  for (let start = 0; start < ids.length; start += AT_ONCE) {
    const orderIds = ids.slice(start, start + AT_ONCE);
    const { orders } = await request('POST', '/admin/cancellations', { body: { orderIds, ...why } });
    answers.push(...orders);
  }
  return answers;
}

/** @param {string} id @param {string} text @returns {Promise<OrderNote>} */
export const addNote = (id, text) => request('POST', `${pathOf(id)}/notes`, { body: { text } });

/** @param {string} id */
export const sendMailAgain = (id) => request('POST', `${pathOf(id)}/mail`, { body: {} });

/** @param {string} saleId */
const suspectsOf = (saleId) => `/admin/sales/${encodeURIComponent(saleId)}/suspects`;

/** @param {string} saleId @param {number} minBuyers @returns {Promise<{ looked: number, marked: number, isWhole: boolean }>} */
export const markSuspects = (saleId, minBuyers) =>
  request('POST', suspectsOf(saleId), { body: { minBuyers } });

/** @param {string} saleId @param {string | null} [cursor] @returns {Promise<SuspectPage>} */
export const fetchSuspects = (saleId, cursor = null) =>
  request('GET', suspectsOf(saleId) + (cursor === null ? '' : `?cursor=${encodeURIComponent(cursor)}`));

/** @param {string} saleId @param {string[]} orderIds */
export const clearSuspects = (saleId, orderIds) =>
  request('POST', `${suspectsOf(saleId)}/clearance`, { body: { orderIds } });

/**
 * Cancels the orders of a sale that were marked before a time.
 * @param {string} saleId @param {Why} why @param {string} markedBefore in ISO 8601
 * @returns {Promise<{ cancelled: number, left: boolean }>} `left`: a round cancelled none of those that are left
 */
export async function cancelSuspects(saleId, why, markedBefore) {
  let cancelled = 0;
  for (;;) {
    const body = { ...why, markedBefore };
    const answer = await request('POST', `${suspectsOf(saleId)}/cancellation`, { body });
    cancelled += answer.cancelled;
    if (!answer.left || answer.cancelled === 0) return { cancelled, left: answer.left };
  }
}
