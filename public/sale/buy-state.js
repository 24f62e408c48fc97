/** What the Buy button says and does, decided in one place from all that the page knows. Pure. */

/** @import { Order, SaleSnapshot, SaleStatus } from '../../sale/contract.ts' */
/** @import { Progress } from './purchase.js' */

/**
 * @typedef {'soon' | 'sign-in' | 'buy' | 'sending' | 'queued' | 'busy' | 'stalled' | 'paid' | 'sold-out'
 *   | 'over-limit' | 'paused' | 'ended' | 'offline'} BuyState
 *
 * @typedef {object} Circumstances
 * @property {SaleSnapshot} sale
 * @property {number} now the server's clock
 * @property {boolean} isReachable
 * @property {boolean} isSignedIn
 * @property {Progress | 'stalled' | null} progress of the pending purchase
 * @property {Order[]} orders this buyer's orders of this sale, newest first
 * @property {boolean} wantsMore has one, and asked to buy another
 * @property {boolean} gateIsShut the last answer was 'sold out', and the stock has not moved since
 */

/**
 * The status now: a snapshot is a moment, but the clock and the stock go on.
 * @param {SaleSnapshot} sale @param {number} now
 * @returns {SaleStatus}
 */
export function statusNow(sale, now) {
  if (sale.status === 'ended' || now >= Date.parse(sale.closesAt)) return 'ended';
  if (sale.status === 'paused') return 'paused';
  if (now < Date.parse(sale.opensAt)) return 'scheduled';
  return sale.stock > 0 ? 'open' : 'sold_out';
}

/** Units this buyer may still ask for. @param {SaleSnapshot} sale @param {Order[]} orders */
export function remainingFor(sale, orders) {
  const had = orders.filter(({ status }) => status === 'paid' || status === 'held' || status === 'queued');
  return Math.max(0, sale.limitPerBuyer - had.reduce((units, { quantity }) => units + quantity, 0));
}

/** @param {Circumstances} circumstances @returns {BuyState} */
export function buyState({ sale, now, isReachable, isSignedIn, progress, orders, wantsMore, gateIsShut }) {
  if (progress) return progress;
  // Said first of all: a buyer who has one is not to read 'sold out' and fear for it.
  if (orders[0]?.status === 'paid' && !wantsMore) return 'paid';
  const status = statusNow(sale, now);
  if (status === 'ended') return 'ended';
  if (!isReachable) return 'offline';
  if (status === 'paused') return 'paused';
  if (status === 'scheduled') return 'soon';
  if (status === 'sold_out' || gateIsShut) return 'sold-out';
  if (!isSignedIn) return 'sign-in';
  return remainingFor(sale, orders) > 0 ? 'buy' : 'over-limit';
}
