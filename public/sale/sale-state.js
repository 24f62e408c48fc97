/** The state of the sale page, and the view derived from it. */

/** @import { Order, SaleAccess, SaleItem, SaleSnapshot } from '../../sale/contract.ts' */
/** @import { Problem } from '../shared/api.js' */
/** @import { OrderCard } from '../orders/order-view.js' */
/** @import { PendingPurchase, Wanted } from './pending.js' */
/** @import { Progress } from './buy-state.js' */
/** @import { SaleView } from './sale-view.js' */

import { mergeOrders } from '../orders/merge-orders.js';
import { cardOfOrder, cardOfPending, cardOfRefusal } from '../orders/order-view.js';
import { itemsOf, withNewestStock } from '../shared/items.js';
import { texts } from '../shared/texts.js';
import { buyState, remainingFor, statusNow } from './buy-state.js';
import { openRecentEvents } from './recent-events.js';
import { openShownStock } from './shown-stock.js';

/** @param {string} saleId @param {string | null} chosenBefore the item that the buyer had chosen before a reload */
export function openSaleState(saleId, chosenBefore) {
  /** @type {SaleSnapshot | null} */
  let sale = null;
  /** @type {Order[]} */
  let orders = [];
  /** @type {{ problem: Problem, purchase: PendingPurchase, at: number } | null} */
  let refusal = null;
  const shownStock = openShownStock();
  /** The id of the item that the buyer chose. */
  let chosen = chosenBefore;
  let quantity = 1;
  let wantsMore = false;
  const recentEvents = openRecentEvents();
  /** @type {number | null} */
  let people = null;

  /** What the pending purchase asks for is shown as chosen. @param {SaleSnapshot} shown @param {PendingPurchase | null} [pending] */
  function choiceIn(shown, pending) {
    const items = itemsOf(shown);
    const id = pending?.lines?.[0]?.itemId ?? chosen;
    return (items.length === 1 ? items[0] : items.find((item) => item.id === id)) ?? null;
  }

  /** @param {SaleSnapshot} shown @param {PendingPurchase | null} pending @returns {OrderCard | null} */
  function currentCard(shown, pending) {
    if (pending) return cardOfPending(pending, shown);
    const newest = orders[0];
    // An order of another tab that is older than this refusal must not hide it, even if it arrives later.
    const isRefusalNewer = refusal && refusal.at >= Date.parse(newest?.createdAt ?? '1970');
    if (refusal && isRefusalNewer) return cardOfRefusal(refusal.problem, refusal.purchase, shown);
    return newest ? cardOfOrder(newest, shown) : null;
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
      const before = sale;
      sale = withNewestStock(before, snapshot);
      if (before) shownStock.update(before, sale, at);
      // An older stock with newer units would produce an event that did not happen.
      return isOlder || recentEvents.update(sale, statusNow(sale, at), at, isWhole);
    },

    /** @param {number} count */
    setPeople(count) {
      people = count;
    },

    newestOrder: () => orders[0],

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

    /** @param {Problem} problem @param {PendingPurchase} purchase @param {number} at by the server's clock */
    setRefusal(problem, purchase, at) {
      refusal = { problem, purchase, at };
      wantsMore = false;
      const item = purchase.lines?.[0]?.itemId ?? (sale && itemsOf(sale)[0]?.id);
      if (problem.name === 'sold-out' && item) shownStock.limit(item, problem.details.left ?? 0, at);
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

    /** Choosing another item than the one bought says that the buyer wants more. @param {string} itemId */
    choose(itemId) {
      chosen = itemId;
      if (sale && remainingFor(sale, orders) > 0) wantsMore = true;
    },

    quantity: () => quantity,

    /** @param {number} wanted */
    setQuantity(wanted) {
      quantity = Math.max(1, Math.min(Math.trunc(wanted) || 1, sale?.limitPerBuyer ?? 1));
    },

    /** @returns {Wanted} */
    wanted() {
      const choice = sale && itemsOf(sale).length > 1 ? choiceIn(sale) : null;
      return choice ? { quantity, lines: [{ itemId: choice.id, quantity }] } : { quantity };
    },

    /**
     * @param {object} around
     * @param {number} around.now
     * @param {boolean} around.isReachable
     * @param {boolean} around.isSignedIn
     * @param {boolean} around.isVerified
     * @param {SaleAccess | null} around.access
     * @param {PendingPurchase | null} around.pending
     * @param {Progress | 'stalled' | null} around.progress
     * @returns {SaleView | null}
     */
    view({ now, isReachable, isSignedIn, isVerified, access, pending, progress }) {
      if (!sale) return null;
      const shown = shownStock.of(sale, now);
      const choice = choiceIn(shown, pending);
      const remaining = remainingFor(shown, orders);
      const mostQuantity = Math.max(
        1,
        Math.min(remainingFor(shown, orders, choice), (choice ?? shown).stock || shown.limitPerBuyer),
      );
      quantity = Math.min(quantity, mostQuantity);
      const around = {
        sale: shown,
        choice,
        now,
        isReachable,
        isSignedIn,
        access,
        progress,
        orders,
        wantsMore,
      };
      const buy = buyState(around);
      const left = choice && shownStock.limitOf(choice.id, now);
      return {
        sale: shown,
        choice,
        now,
        status: statusNow(shown, now),
        buy,
        quantity: pending?.quantity ?? quantity,
        mostQuantity,
        remaining,
        isSignedIn,
        isVerified,
        access,
        orderCard: currentCard(shown, pending),
        people,
        latestEvent: recentEvents.list()[0],
        heldUntil: (orders[0]?.status === 'held' && orders[0].holdExpiresAt) || null,
        note: left && buy === 'buy' ? texts.noteLeft(left) : '',
      };
    },
  };
}
