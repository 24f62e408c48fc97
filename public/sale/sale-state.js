/** Everything the sale page knows, and the one view that follows from it. */

/** @import { Order, SaleSnapshot } from '../../sale/contract.ts' */
/** @import { Problem } from '../shared/api.js' */
/** @import { OrderStory } from '../orders/order-view.js' */
/** @import { PendingPurchase } from './pending.js' */
/** @import { Progress } from './purchase.js' */
/** @import { SaleView } from './sale-view.js' */

import { storyOfOrder, storyOfPending, storyOfRefusal } from '../orders/order-view.js';
import { mergeOrders } from '../orders/orders.js';
import { texts } from '../shared/texts.js';
import { buyState, remainingFor, statusNow } from './buy-state.js';
import { openHappenings } from './happenings.js';

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
  const happenings = openHappenings();
  /** @type {number | null} */
  let people = null;

  /** @param {PendingPurchase | null} pending @returns {OrderStory | null} */
  function storyNow(pending) {
    if (pending) return storyOfPending(pending);
    const newest = orders[0];
    // An order that another tab got before this refusal must not cover it, though word of it may come later.
    const isRefusalNewer = refusal && refusal.at >= Date.parse(newest?.createdAt ?? '1970');
    if (refusal && isRefusalNewer) return storyOfRefusal(refusal.problem, refusal.purchase);
    return newest ? storyOfOrder(newest, sentAt.get(newest.id)) : null;
  }

  return {
    /** The sale as far as it is known. */
    sale: () => sale,

    /**
     * News of the sale never takes the stock back to an older version.
     * @param {SaleSnapshot} news @param {number} at @param {{ isWhole: boolean }} how
     * @returns {boolean} whether only a whole snapshot can tell what happened
     */
    learnSale(news, at, { isWhole }) {
      const isOlder = sale !== null && news.stockVersion < sale.stockVersion;
      sale = isOlder && sale ? { ...news, stock: sale.stock, stockVersion: sale.stockVersion } : news;
      // An older stock beside newer units would make up a happening.
      return isOlder || happenings.learn(sale, statusNow(sale, at), at, isWhole);
    },

    /** @param {number} count */
    learnPeople(count) {
      people = count;
    },

    /** @param {Order} order */
    learnOrder(order) {
      if (order.saleId !== saleId) return;
      const isNew = !orders.some(({ id }) => id === order.id);
      orders = mergeOrders(orders, [order]);
      if (isNew) wantsMore = false;
    },

    /** @param {Order[]} all */
    learnOrders(all) {
      const ofSale = all.filter((order) => order.saleId === saleId);
      orders = mergeOrders(orders, ofSale);
    },

    /** @param {PendingPurchase} purchase */
    learnSent(purchase) {
      if (purchase.orderId) sentAt.set(purchase.orderId, purchase.sentAt);
    },

    /** @param {Problem} problem @param {PendingPurchase} purchase @param {number} at by the server's clock */
    learnRefusal(problem, purchase, at) {
      refusal = { problem, purchase, at, stockVersion: sale?.stockVersion ?? 0 };
      wantsMore = false;
    },

    forgetRefusal() {
      refusal = null;
    },

    /** Another buyer sits here now, or none. */
    forgetBuyer() {
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
    choose(wanted) {
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
      const isSoldOutNews =
        refusal?.problem.name === 'sold-out' && refusal.stockVersion === sale.stockVersion;
      const gateIsShut = isSoldOutNews && left === 0;
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
        story: storyNow(pending),
        people,
        happening: happenings.list()[0],
        note: isSoldOutNews && buy === 'buy' ? texts.noteLeft(left) : '',
      };
    },
  };
}
