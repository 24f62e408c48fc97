/** Decides the state of the Buy button. Pure. */

/** @import { Order, SaleAccess, SaleItem, SaleSnapshot, SaleStatus } from '../../sale/contract.ts' */

import { linesOf } from '../shared/items.js';
import { isOpenFor } from './access-view.js';

/**
 * @typedef {'sending' | 'queued' | 'busy'} Progress of a purchase that is not settled
 *
 * @typedef {'soon' | 'sign-in' | 'choose' | 'choose-another' | 'not-yet' | 'buy' | Progress | 'stalled' | 'held' | 'paid' | 'sold-out'
 *   | 'over-limit' | 'paused' | 'ended' | 'called-off' | 'offline'} BuyState
 *
 * @typedef {object} Circumstances
 * @property {SaleSnapshot} sale with the stock that the page shows
 * @property {SaleItem | null} choice the chosen item; null before the buyer chose one of several
 * @property {number} now the server's clock
 * @property {boolean} isReachable
 * @property {boolean} isSignedIn
 * @property {SaleAccess | null} [access] when a sale with phases opens for the buyer; null or absent while it is not known
 * @property {Progress | 'stalled' | null} progress the progress of the pending purchase
 * @property {Order[]} orders the buyer's orders of this sale, newest first
 * @property {boolean} wantsMore the buyer has one and asked to buy another
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
  // The units of a draw are offered, so none left does not mean that it is over. In front of another site nothing is sold.
  return sale.stock > 0 || sale.mode === 'draw' || sale.site ? 'open' : 'sold_out';
}

/**
 * Units that the buyer may still buy, of the item when one is given.
 * @param {SaleSnapshot} sale @param {Order[]} orders @param {SaleItem | null} [item]
 */
export function remainingFor(sale, orders, item = null) {
  const had = orders
    .filter(({ status }) => status === 'paid' || status === 'held' || status === 'queued')
    .flatMap((order) => linesOf(order, sale));
  const units = (/** @type {typeof had} */ lines) => lines.reduce((sum, { quantity }) => sum + quantity, 0);
  const ofSale = sale.limitPerBuyer - units(had);
  const itemLimit = item?.limitPerBuyer ?? Number.POSITIVE_INFINITY;
  const ofItem = itemLimit - units(had.filter((line) => line.item?.id === item?.id));
  return Math.max(0, Math.min(ofSale, ofItem));
}

/** @param {Circumstances} circumstances @returns {BuyState} */
export function buyState({
  sale,
  choice,
  now,
  isReachable,
  isSignedIn,
  access = null,
  progress,
  orders,
  wantsMore,
}) {
  if (progress) return progress;
  // This comes before 'sold-out', which would make a buyer who has one doubt their purchase.
  const newest = orders[0]?.status;
  if ((newest === 'paid' || newest === 'held') && !wantsMore) return newest;
  const status = statusNow(sale, now);
  if (status === 'ended') return 'ended';
  if (status === 'called_off') return 'called-off';
  if (!isReachable) return 'offline';
  if (status === 'paused') return 'paused';
  if (status === 'scheduled') return 'soon';
  if (status === 'sold_out') return 'sold-out';
  if (choice?.stock === 0 && !sale.site) return 'choose-another';
  if (!isSignedIn) return 'sign-in';
  if (!isOpenFor(sale, access, now)) return 'not-yet';
  if (remainingFor(sale, orders) === 0) return 'over-limit';
  if (!choice) return 'choose';
  return remainingFor(sale, orders, choice) > 0 ? 'buy' : 'over-limit';
}
