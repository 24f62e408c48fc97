/** Decides the state of the Buy button. Pure. */

/** @import { Order, SaleSnapshot, SaleStatus } from '../../sale/contract.ts' */
/** @import { Progress } from './purchase.js' */

/**
 * @typedef {'soon' | 'sign-in' | 'buy' | 'sending' | 'queued' | 'busy' | 'stalled' | 'paid' | 'sold-out'
 *   | 'over-limit' | 'paused' | 'ended' | 'called-off' | 'offline'} BuyState
 *
 * @typedef {object} Circumstances
 * @property {SaleSnapshot} sale
 * @property {number} now the server's clock
 * @property {boolean} isReachable
 * @property {boolean} isSignedIn
 * @property {Progress | 'stalled' | null} progress the progress of the pending purchase
 * @property {Order[]} orders the buyer's orders of this sale, newest first
 * @property {boolean} wantsMore the buyer has one and asked to buy another
 * @property {boolean} gateIsShut the last answer was 'sold out', and the stock has not changed since
 */

/**
 * The status at `now`, which may have changed since the snapshot was taken. A draft's is the one that it would have.
 * @param {SaleSnapshot} sale @param {number} now
 * @returns {SaleStatus}
 */
export function statusNow(sale, now) {
  if (sale.status === 'called_off') return 'called_off';
  if (sale.status === 'ended' || now >= Date.parse(sale.closesAt)) return 'ended';
  if (sale.status === 'paused') return 'paused';
  if (now < Date.parse(sale.opensAt)) return 'scheduled';
  return sale.stock > 0 ? 'open' : 'sold_out';
}

/** Units that the buyer may still buy. @param {SaleSnapshot} sale @param {Order[]} orders */
export function remainingFor(sale, orders) {
  const had = orders.filter(({ status }) => status === 'paid' || status === 'held' || status === 'queued');
  return Math.max(0, sale.limitPerBuyer - had.reduce((units, { quantity }) => units + quantity, 0));
}

/** @param {Circumstances} circumstances @returns {BuyState} */
export function buyState({ sale, now, isReachable, isSignedIn, progress, orders, wantsMore, gateIsShut }) {
  if (progress) return progress;
  // This comes before 'sold-out', which would make a buyer who has one doubt their purchase.
  if (orders[0]?.status === 'paid' && !wantsMore) return 'paid';
  const status = statusNow(sale, now);
  if (status === 'ended') return 'ended';
  if (status === 'called_off') return 'called-off';
  if (!isReachable) return 'offline';
  if (status === 'paused') return 'paused';
  if (status === 'scheduled') return 'soon';
  if (status === 'sold_out' || gateIsShut) return 'sold-out';
  if (!isSignedIn) return 'sign-in';
  return remainingFor(sale, orders) > 0 ? 'buy' : 'over-limit';
}
