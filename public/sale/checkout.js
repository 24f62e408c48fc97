/** The page's side of buying one sale: starts a purchase, takes up a pending one, and tells how it goes. */

/** @import { Order } from '../../sale/contract.ts' */
/** @import { PendingPurchase } from './pending.js' */
/** @import { Outcome, Progress } from './purchase.js' */

import { asBuyer, currentSession } from '../account/session.js';
import { fetchOrder, sendPurchase } from '../shared/api.js';
import { serverNow } from '../shared/clock.js';
import { dropPending, keepPending, newIdempotencyKey, onPendingChange, readPending } from './pending.js';
import { carryThrough } from './purchase.js';

/** Older than this, a purchase that was never answered is not sent again before the buyer says so. */
const STALE_MS = 10 * 60_000;

/**
 * Of a buyer's tabs only one carries the purchase; when it is closed the next one takes over. Without Web Locks
 * (plain http) several may, which the Idempotency-Key makes harmless.
 * @param {string} name @param {() => Promise<void>} task
 */
const exclusively = (name, task) => (navigator.locks ? navigator.locks.request(name, task) : task());

/**
 * @param {string} saleId
 * @param {{ onChange: () => void, onOutcome: (outcome: Outcome, purchase: PendingPurchase) => void,
 *   onSettledElsewhere: () => void }} page
 */
export function openCheckout(saleId, { onChange, onOutcome, onSettledElsewhere }) {
  /** @type {Progress | null} */
  let progress = null;
  let isCarrying = false;
  /** @type {(order?: Order) => void} */
  let endPause = () => {};

  const pending = () => {
    const buyer = currentSession()?.user;
    return buyer ? readPending(buyer.id, saleId) : null;
  };

  /** @param {number} milliseconds @returns {Promise<Order | undefined>} */
  const pause = (milliseconds) =>
    new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      endPause = (order) => {
        clearTimeout(timer);
        resolve(order);
      };
    });

  async function carryPending() {
    const purchase = pending();
    if (!purchase || purchase.stalled) return;
    const { buyerId } = purchase;
    const outcome = await carryThrough(purchase, {
      send: (unsent) => asBuyer((token) => sendPurchase(token, unsent), buyerId),
      look: (orderId) => asBuyer((token) => fetchOrder(token, orderId), buyerId),
      keep: (step) => keepPending(step.orderId ? { ...step, acceptedAt: serverNow() } : step),
      pause,
      tell(step) {
        progress = step;
        onChange();
      },
    });
    const latest = readPending(buyerId, saleId) ?? purchase;
    if (outcome.kind === 'stalled') keepPending({ ...latest, stalled: true });
    else if (outcome.kind !== 'signed-out') dropPending(purchase);
    onOutcome(outcome, latest);
  }

  async function carry() {
    if (isCarrying) return;
    isCarrying = true;
    try {
      await exclusively(`stampede.purchase.${saleId}`, carryPending);
    } finally {
      isCarrying = false;
      progress = null;
      onChange();
    }
  }

  onPendingChange(() => {
    onChange();
    if (pending()) carry();
    else onSettledElsewhere();
  });

  return {
    pending,

    /** @returns {Progress | 'stalled' | null} */
    progress() {
      const purchase = pending();
      if (!purchase) return null;
      if (purchase.stalled) return 'stalled';
      return progress ?? (purchase.orderId ? 'queued' : 'sending');
    },

    /** A second click finds the first one's purchase and adds nothing. @param {number} quantity */
    start(quantity) {
      const buyer = currentSession()?.user;
      if (!buyer || pending()) return;
      const idempotencyKey = newIdempotencyKey();
      keepPending({ buyerId: buyer.id, saleId, quantity, idempotencyKey, sentAt: serverNow() });
      onChange();
      carry();
    },

    /** After a reload or a new sign-in. */
    resume() {
      const purchase = pending();
      if (!purchase) return;
      if (!purchase.orderId && serverNow() - purchase.sentAt > STALE_MS) {
        keepPending({ ...purchase, stalled: true });
      }
      carry();
    },

    /** The buyer says 'again': the same purchase, the same key. */
    retry() {
      const purchase = pending();
      if (!purchase) return;
      keepPending({ ...purchase, stalled: false });
      onChange();
      carry();
    },

    forget() {
      const purchase = pending();
      if (purchase?.stalled) dropPending(purchase);
      onChange();
    },

    /** The link is back: no need to wait out the pause. */
    hurry: () => endPause(),

    /** The socket told of an order; if it is this one the wait is over. @param {Order} order */
    heard(order) {
      if (order.id === pending()?.orderId) endPause(order);
    },
  };
}
