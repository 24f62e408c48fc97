/** Carries one purchase from the click to its final outcome, through whatever the network does meanwhile. */

/** @import { Order, PurchaseReceipt } from '../../sale/contract.ts' */
/** @import { PendingPurchase } from './pending.js' */

import { NotSignedIn } from '../account/session.js';
import { Problem, Unreachable } from '../shared/api.js';

const MAX_FAILURES = 8;
const MAX_RESENDS = 5;
const BACKOFF_FIRST_MS = 500;
const BACKOFF_MAX_MS = 8_000;
const LOOK_FIRST_MS = 1_000;
const LOOK_MAX_MS = 5_000;

/**
 * @typedef {'sending' | 'queued' | 'busy'} Progress
 *
 * @typedef {{ kind: 'settled', order: Order }
 *   | { kind: 'refused', problem: Problem }
 *   | { kind: 'stalled' }
 *   | { kind: 'signed-out' }} Outcome `stalled` and `signed-out` leave it pending
 *
 * @typedef {object} Ports
 * @property {(purchase: PendingPurchase) => Promise<{ receipt: PurchaseReceipt, retryAfterMs: number }>} send
 * @property {(orderId: string) => Promise<Order>} look
 * @property {(purchase: PendingPurchase) => void} keep
 * @property {(milliseconds: number) => Promise<Order | undefined>} pause ends early with an order the socket told of
 * @property {(progress: Progress) => void} tell
 */

/** @param {Order} order */
const isFinal = ({ status }) => status !== 'queued' && status !== 'held';

/**
 * Doubles with every failure. Half of it is random, so that the refused of one second do not all come back in the
 * same later second; the server's Retry-After is a floor.
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
export async function carryThrough(purchase, { send, look, keep, pause, tell }) {
  let failures = 0;
  let resends = 0;
  let lookAgainMs = LOOK_FIRST_MS;
  for (;;) {
    try {
      if (purchase.orderId) {
        const order = await look(purchase.orderId);
        if (isFinal(order)) return { kind: 'settled', order };
        lookAgainMs = Math.min(LOOK_MAX_MS, lookAgainMs * 1.5);
      } else {
        const { receipt, retryAfterMs } = await send(purchase);
        purchase = { ...purchase, orderId: receipt.orderId };
        keep(purchase);
        lookAgainMs = retryAfterMs || LOOK_FIRST_MS;
      }
      failures = 0;
      tell('queued');
      const told = await pause(lookAgainMs);
      if (told && told.id === purchase.orderId && isFinal(told)) return { kind: 'settled', order: told };
    } catch (error) {
      if (error instanceof NotSignedIn) return { kind: 'signed-out' };
      const isUnknown = error instanceof Problem && error.status === 404 && purchase.orderId !== undefined;
      if (error instanceof Problem && !error.isPassing && !isUnknown)
        return { kind: 'refused', problem: error };
      if (!(error instanceof Problem || error instanceof Unreachable)) throw error;

      failures += 1;
      if (isUnknown) {
        // It was accepted, and then even Redis was lost: the same key makes it the same purchase.
        resends += 1;
        const { orderId: _, ...unsent } = purchase;
        purchase = unsent;
        keep(purchase);
      }
      if (failures > MAX_FAILURES || resends > MAX_RESENDS) return { kind: 'stalled' };
      tell('busy');
      await pause(backoffMs(failures, error instanceof Problem ? error.retryAfterMs : 0));
    }
  }
}
