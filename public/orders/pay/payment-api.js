/** The calls of the API that pay an order. */

/** @import { OrderPayment, PaymentStart } from '../../../sale/contract.ts' */

import { call, Problem } from '../../shared/api.js';

/** @param {string} orderId */
const pathOf = (orderId) => `/orders/${encodeURIComponent(orderId)}/payments`;

/** Starts to pay a held order, or goes on with it. @param {string} token @param {string} orderId @returns {Promise<PaymentStart>} */
export const startPayment = async (token, orderId) =>
  (await call('POST', pathOf(orderId), { token, body: {} })).body;

/** The attempts to pay it, the newest first. @param {string} token @param {string} orderId @returns {Promise<OrderPayment[]>} */
export async function fetchPayments(token, orderId) {
  try {
    return (await call('GET', pathOf(orderId), { token })).body.payments;
  } catch (error) {
    // A server of the version before, which a rolling upgrade may ask, knows of no payments.
    if (error instanceof Problem && (error.status === 404 || error.status === 405)) return [];
    throw error;
  }
}

/** @param {string} clientSecret @param {string} card @returns {Promise<{ stage: string, failure: string | null }>} */
export const confirmSimulated = async (clientSecret, card) =>
  (await call('POST', '/payments/simulated/confirmations', { body: { clientSecret, card } })).body;
