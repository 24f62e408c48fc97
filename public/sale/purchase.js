/** Takes one purchase from the click to its final outcome, with retries. */

/** @import { Order, PurchaseReceipt } from '../../sale/contract.ts' */
/** @import { Progress } from './buy-state.js' */
/** @import { PendingPurchase } from './pending.js' */

import { NotSignedIn } from '../account/session.js';
import { Problem, Unreachable } from '../shared/api.js';

const MAX_FAILURES = 8;
const MAX_RESENDS = 5;
const BACKOFF_FIRST_MS = 500;
const BACKOFF_MAX_MS = 8_000;
const POLL_FIRST_MS = 1_000;
const POLL_MAX_MS = 5_000;

/**
 * @typedef {{ kind: 'settled', order: Order }
 *   | { kind: 'refused', problem: Problem }
 *   | { kind: 'stalled' }
 *   | { kind: 'signed-out' }} Outcome after `stalled` and `signed-out` the purchase is still pending
 *
 * @typedef {object} Ports
 * @property {(purchase: PendingPurchase) => Promise<{ receipt: PurchaseReceipt, retryAfterMs: number }>} send
 * @property {(orderId: string) => Promise<Order>} fetchById
 * @property {(purchase: PendingPurchase) => void} save
 * @property {(milliseconds: number) => Promise<Order | undefined>} wait resolves early with an order that arrived by socket
 * @property {(progress: Progress) => void} onProgress
 */

/** @param {Order} order */
const isSettled = ({ status }) => status !== 'queued';

/**
 * Exponential backoff with jitter, so that pages refused in the same second do not all retry in the same second. The
 * server's Retry-After is added.
 * @param {number} failures @param {number} retryAfterMs
 */
function backoffMs(failures, retryAfterMs) {
  const step = Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** (failures - 1));
  return retryAfterMs + step * (0.5 + Math.random() * 0.5);
}

/**
 * @param {PendingPurchase} purchase
 * @param {Ports} ports
 * @returns {Promise<Outcome>}
 */
export async function completePurchase(purchase, { send, fetchById, save, wait, onProgress }) {
  let failures = 0;
  let resends = 0;
  let pollAfterMs = POLL_FIRST_MS;
  for (;;) {
    try {
      if (purchase.orderId) {
        const order = await fetchById(purchase.orderId);
        if (isSettled(order)) return { kind: 'settled', order };
        pollAfterMs = Math.min(POLL_MAX_MS, pollAfterMs * 1.5);
      } else {
        const { receipt, retryAfterMs } = await send(purchase);
        // Sent again, it needs no living pass of the person.
        purchase = { ...purchase, orderId: receipt.orderId, ...(receipt.pass && { pass: receipt.pass }) };
        save(purchase);
        pollAfterMs = retryAfterMs || POLL_FIRST_MS;
      }
      failures = 0;
      onProgress('queued');
      const received = await wait(pollAfterMs);
      if (received && received.id === purchase.orderId && isSettled(received))
        return { kind: 'settled', order: received };
    } catch (error) {
      if (error instanceof NotSignedIn) return { kind: 'signed-out' };
      const isUnknown = error instanceof Problem && error.status === 404 && purchase.orderId !== undefined;
      if (error instanceof Problem && !error.isPassing && !isUnknown)
        return { kind: 'refused', problem: error };
      if (!(error instanceof Problem || error instanceof Unreachable)) throw error;

      failures += 1;
      if (isUnknown) {
        // Redis lost the accepted purchase, so it is sent again; the same key makes it the same purchase.
        resends += 1;
        const { orderId: _, ...unsent } = purchase;
        purchase = unsent;
        save(purchase);
      }
      if (failures > MAX_FAILURES || resends > MAX_RESENDS) return { kind: 'stalled' };
      onProgress('busy');
      await wait(backoffMs(failures, error instanceof Problem ? error.retryAfterMs : 0));
    }
  }
}
