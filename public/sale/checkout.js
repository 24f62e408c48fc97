/** Runs the purchases of one sale page: starts one, resumes a pending one, and reports progress. */

/** @import { Order } from '../../sale/contract.ts' */
/** @import { PendingPurchase, Wanted } from './pending.js' */
/** @import { Progress } from './buy-state.js' */
/** @import { Outcome } from './purchase.js' */

import { asBuyer, currentSession } from '../account/session.js';
import { fetchOrder, sendPurchase } from '../shared/api.js';
import { serverNow } from '../shared/clock.js';
import { dropPending, keepPending, newIdempotencyKey, onPendingChange, readPending } from './pending.js';
import { completePurchase } from './purchase.js';

/** An unanswered purchase older than this is sent again only when the buyer confirms it. */
const STALE_MS = 10 * 60_000;

/**
 * Only one of a buyer's tabs runs the purchase, and another takes over when it is closed. Without Web Locks (plain http)
 * several may, which the Idempotency-Key makes harmless.
 * @param {string} name @param {() => Promise<void>} task
 */
const exclusively = (name, task) => (navigator.locks ? navigator.locks.request(name, task) : task());

/**
 * @param {string} saleId
 * @param {{ shown: () => Record<string, string>, onChange: () => void, onOutcome: (outcome: Outcome, purchase: PendingPurchase) => void,
 *   onSettledElsewhere: () => void }} page
 */
export function openCheckout(saleId, { shown, onChange, onOutcome, onSettledElsewhere }) {
  /** @type {Progress | null} */
  let progress = null;
  let isRunning = false;
  /** @type {(order?: Order) => void} */
  let endWait = () => {};

  const pending = () => {
    const buyer = currentSession()?.user;
    return buyer ? readPending(buyer.id, saleId) : null;
  };

  /** @param {number} milliseconds @returns {Promise<Order | undefined>} */
  const wait = (milliseconds) =>
    new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      endWait = (order) => {
        clearTimeout(timer);
        resolve(order);
      };
    });

  async function completePending() {
    const purchase = pending();
    if (!purchase || purchase.stalled) return;
    const { buyerId } = purchase;
    const outcome = await completePurchase(purchase, {
      send: (unsent) => asBuyer((token) => sendPurchase(token, unsent, shown()), buyerId),
      fetchById: (orderId) => asBuyer((token) => fetchOrder(token, orderId), buyerId),
      save: (step) => keepPending(step.orderId ? { ...step, acceptedAt: serverNow() } : step),
      wait,
      onProgress(step) {
        progress = step;
        onChange();
      },
    });
    const latest = readPending(buyerId, saleId) ?? purchase;
    if (outcome.kind === 'stalled') keepPending({ ...latest, stalled: true });
    else if (outcome.kind !== 'signed-out') dropPending(purchase);
    onOutcome(outcome, latest);
  }

  async function run() {
    if (isRunning) return;
    isRunning = true;
    try {
      await exclusively(`stampede.purchase.${saleId}`, completePending);
    } finally {
      isRunning = false;
      progress = null;
      onChange();
    }
  }

  onPendingChange(() => {
    onChange();
    if (pending()) run();
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

    /** A second click finds the pending purchase of the first, and does nothing. @param {Wanted} wanted */
    start(wanted) {
      const buyer = currentSession()?.user;
      if (!buyer || pending()) return;
      const idempotencyKey = newIdempotencyKey();
      keepPending({ buyerId: buyer.id, saleId, ...wanted, idempotencyKey, sentAt: serverNow() });
      onChange();
      run();
    },

    /** Continues a pending purchase after a reload or a new sign-in. */
    resume() {
      const purchase = pending();
      if (!purchase) return;
      if (!purchase.orderId && serverNow() - purchase.sentAt > STALE_MS) {
        keepPending({ ...purchase, stalled: true });
      }
      run();
    },

    /** Sends the same purchase with the same key again, when the buyer asks for it. */
    retry() {
      const purchase = pending();
      if (!purchase) return;
      keepPending({ ...purchase, stalled: false });
      onChange();
      run();
    },

    forget() {
      const purchase = pending();
      if (purchase?.stalled) dropPending(purchase);
      onChange();
    },

    /** Ends the current wait early, because the connection is back. */
    retryNow: () => endWait(),

    /** An order arrived by socket; if it is the pending one, the wait ends. @param {Order} order */
    receiveOrder(order) {
      if (order.id === pending()?.orderId) endWait(order);
    },
  };
}
