/** The state of the sale page, and the view derived from it. */

/** @import { Order, SaleSnapshot } from '../../sale/contract.ts' */
/** @import { Problem } from '../shared/api.js' */
/** @import { OrderCard } from '../orders/order-view.js' */
/** @import { PendingPurchase } from './pending.js' */
/** @import { Progress } from './purchase.js' */
/** @import { SaleView } from './sale-view.js' */

import { mergeOrders } from '../orders/merge-orders.js';
import { cardOfOrder, cardOfPending, cardOfRefusal } from '../orders/order-view.js';
import { texts } from '../shared/texts.js';
import { buyState, remainingFor, statusNow } from './buy-state.js';
import { openRecentEvents } from './recent-events.js';

/** @param {string} saleId */
export function openSaleState(saleId) {
  /** @type {SaleSnapshot | null} */
  let sale = null;
  /** @type {Order[]} */
  let orders = [];
  /** @type {{ problem: Problem, purchase: PendingPurchase, at: number, stockVersion: number } | null} */
  let refusal = null;
  /** @type {Map<string, number>} when this page sent the order, by the server's clock */
  const sentAt = new Map();
  let quantity = 1;
  let wantsMore = false;
  const recentEvents = openRecentEvents();
  /** @type {number | null} */
  let people = null;

  /** @param {PendingPurchase | null} pending @returns {OrderCard | null} */
  function currentCard(pending) {
    if (pending) return cardOfPending(pending);
    const newest = orders[0];
    // An order of another tab that is older than this refusal must not hide it, even if it arrives later.
    const isRefusalNewer = refusal && refusal.at >= Date.parse(newest?.createdAt ?? '1970');
    if (refusal && isRefusalNewer) return cardOfRefusal(refusal.problem, refusal.purchase);
    return newest ? cardOfOrder(newest, sentAt.get(newest.id)) : null;
  }

  return {
    /** The latest snapshot, or null. */
    sale: () => sale,

    /**
     * Never replaces the stock by an older version.
     * @param {SaleSnapshot} snapshot @param {number} at @param {{ isWhole: boolean }} how
     * @returns {boolean} whether a snapshot is needed to tell what happened
     */
    updateSale(snapshot, at, { isWhole }) {
      const isOlder = sale !== null && snapshot.stockVersion < sale.stockVersion;
      sale = isOlder && sale ? { ...snapshot, stock: sale.stock, stockVersion: sale.stockVersion } : snapshot;
      // An older stock with newer units would produce an event that did not happen.
      return isOlder || recentEvents.update(sale, statusNow(sale, at), at, isWhole);
    },

    /** @param {number} count */
    setPeople(count) {
      people = count;
    },

    /** @param {Order} order */
    addOrder(order) {
      if (order.saleId !== saleId) return;
      const isNew = !orders.some(({ id }) => id === order.id);
      orders = mergeOrders(orders, [order]);
      if (isNew) wantsMore = false;
    },

    /** @param {Order[]} all */
    addOrders(all) {
      const ofSale = all.filter((order) => order.saleId === saleId);
      orders = mergeOrders(orders, ofSale);
    },

    /** @param {PendingPurchase} purchase */
    rememberSentAt(purchase) {
      if (purchase.orderId) sentAt.set(purchase.orderId, purchase.sentAt);
    },

    /** @param {Problem} problem @param {PendingPurchase} purchase @param {number} at by the server's clock */
    setRefusal(problem, purchase, at) {
      refusal = { problem, purchase, at, stockVersion: sale?.stockVersion ?? 0 };
      wantsMore = false;
    },

    clearRefusal() {
      refusal = null;
    },

    /** Clears what belongs to the last buyer, after a sign-in or sign-out. */
    clearBuyer() {
      orders = [];
      refusal = null;
      wantsMore = false;
    },

    wantMore() {
      wantsMore = true;
      quantity = 1;
    },

    quantity: () => quantity,

    /** @param {number} wanted */
    setQuantity(wanted) {
      quantity = Math.max(1, Math.min(Math.trunc(wanted) || 1, sale?.limitPerBuyer ?? 1));
    },

    /**
     * @param {object} around
     * @param {number} around.now
     * @param {boolean} around.isReachable
     * @param {boolean} around.isSignedIn
     * @param {PendingPurchase | null} around.pending
     * @param {Progress | 'stalled' | null} around.progress
     * @returns {SaleView | null}
     */
    view({ now, isReachable, isSignedIn, pending, progress }) {
      if (!sale) return null;
      const remaining = remainingFor(sale, orders);
      const mostQuantity = Math.max(1, Math.min(remaining, sale.stock || sale.limitPerBuyer));
      quantity = Math.min(quantity, mostQuantity);
      const left = refusal?.problem.details.left ?? 0;
      const isRefusalCurrent =
        refusal?.problem.name === 'sold-out' && refusal.stockVersion === sale.stockVersion;
      const gateIsShut = isRefusalCurrent && left === 0;
      const buy = buyState({ sale, now, isReachable, isSignedIn, progress, orders, wantsMore, gateIsShut });
      return {
        sale,
        now,
        status: statusNow(sale, now),
        buy,
        quantity: pending?.quantity ?? quantity,
        mostQuantity,
        remaining,
        isSignedIn,
        orderCard: currentCard(pending),
        people,
        latestEvent: recentEvents.list()[0],
        note: isRefusalCurrent && buy === 'buy' ? texts.noteLeft(left) : '',
      };
    },
  };
}
