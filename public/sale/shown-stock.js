/**
 * The stock that a sale's page shows: what is settled, but no more of an item than the shop said was left when it refused
 * this buyer. In a rush admission is ahead of settlement, and a page must not show units left beside "Sold out".
 */

/** @import { SaleSnapshot } from '../../sale/contract.ts' */

import { itemsOf, withStock } from '../shared/items.js';

/** When the settled stock has not changed for this long, nothing is waiting to be settled, and it is right again. */
const SETTLED_AFTER_MS = 5_000;

export function openShownStock() {
  /** By item: how many were left, and when that was said or the settled stock last fell. @type {Map<string, { left: number, at: number }>} */
  const limits = new Map();

  return {
    /** @param {string} itemId @param {number} left units that can still be bought @param {number} now */
    limit(itemId, left, now) {
      limits.set(itemId, { left, at: now });
    },

    /** Compares the settled stock with the one before. @param {SaleSnapshot} before @param {SaleSnapshot} sale @param {number} now */
    update(before, sale, now) {
      const stocks = new Map(itemsOf(before).map(({ id, stock }) => [id, stock]));
      for (const { id, stock } of itemsOf(sale)) {
        const limit = limits.get(id);
        const stockBefore = stocks.get(id) ?? stock;
        if (!limit || stock === stockBefore) continue;
        limit.at = now;
        // Units that came back can be bought, while what others have bought is still not settled.
        limit.left += Math.max(0, stock - stockBefore);
        if (stock <= limit.left) limits.delete(id);
      }
    },

    /** Units left of an item when there are fewer than settled; null otherwise. @param {string} itemId @param {number} now */
    limitOf: (itemId, now) => limitAt(itemId, now),

    /** @param {SaleSnapshot} sale @param {number} now @returns {SaleSnapshot} */
    of(sale, now) {
      const items = itemsOf(sale).map((item) => {
        return { ...item, stock: Math.min(item.stock, limitAt(item.id, now) ?? item.stock) };
      });
      const stock = items.reduce((sum, item) => sum + item.stock, 0);
      return stock === sale.stock ? sale : withStock(sale, { items, stock, stockVersion: sale.stockVersion });
    },
  };

  /** @param {string} itemId @param {number} now */
  function limitAt(itemId, now) {
    const limit = limits.get(itemId);
    return limit && now - limit.at < SETTLED_AFTER_MS ? limit.left : null;
  }
}
