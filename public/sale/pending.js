/**
 * The pending purchase, stored BEFORE it is sent, so that a retry after a reload or a lost connection has
 * the same Idempotency-Key and is the same purchase.
 *
 * @typedef {{ quantity: number, lines?: PurchaseLine[], pass?: string, code?: string }} Wanted what is bought; lines only of a
 *   sale with several items, a pass only of one with a waiting room, a code only of one with phases
 *
 * @typedef {object} PendingPurchase
 * @property {string} buyerId
 * @property {string} saleId
 * @property {number} quantity units of all lines
 * @property {PurchaseLine[]} [lines]
 * @property {string} [pass] of the waiting room
 * @property {string} [code] as it was typed
 * @property {string} idempotencyKey
 * @property {number} sentAt by the server's clock, in milliseconds
 * @property {string} [orderId] once it is accepted
 * @property {number} [acceptedAt]
 * @property {boolean} [stalled] all attempts failed, and the buyer has to ask for another one
 */

/** @import { PurchaseLine } from '../../sale/contract.ts' */

import { dropStored, readStored, store, storedKeys } from '../account/storage.js';

const PREFIX = 'stampede.pending.';

/** @param {{ buyerId: string, saleId: string }} of */
const slot = ({ buyerId, saleId }) => `${PREFIX}${buyerId}.${saleId}`;

/** @param {string} buyerId @param {string} saleId @returns {PendingPurchase | null} */
export function readPending(buyerId, saleId) {
  try {
    return JSON.parse(readStored(slot({ buyerId, saleId })) ?? 'null');
  } catch {
    return null;
  }
}

/** All pending purchases of a buyer. @param {string} buyerId @returns {PendingPurchase[]} */
export function listPending(buyerId) {
  const prefix = slot({ buyerId, saleId: '' });
  const saleIds = storedKeys(prefix).map((key) => key.slice(prefix.length));
  return saleIds.flatMap((saleId) => readPending(buyerId, saleId) ?? []);
}

/** @param {PendingPurchase} purchase */
export const keepPending = (purchase) => store(slot(purchase), JSON.stringify(purchase));

/** @param {PendingPurchase} purchase */
export const dropPending = (purchase) => dropStored(slot(purchase));

/** Calls the listener when another tab changed a pending purchase. @param {() => void} listener */
export function onPendingChange(listener) {
  addEventListener('storage', (event) => {
    if (event.key === null || event.key.startsWith(PREFIX)) listener();
  });
}

/** 128 random bits. `crypto.randomUUID` is missing on plain http, as on a phone in the shop's LAN. */
export const newIdempotencyKey = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join(
    '',
  );
