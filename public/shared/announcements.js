/**
 * Announces changes to screen readers: a new status and a chosen item that sold out at once, the stock of a sale with one
 * item at most every 15 seconds.
 */

/** @import { SaleItem, SaleSnapshot, SaleStatus } from '../../sale/contract.ts' */

import { byId, setText } from './dom.js';
import { itemsOf } from './items.js';
import { texts } from './texts.js';

const STOCK_EVERY_MS = 15_000;

/** @type {SaleStatus | null} */
let announcedStatus = null;
let announcedAt = Number.NEGATIVE_INFINITY;

/** @param {SaleSnapshot} sale @param {SaleStatus} status */
export function announceStock(sale, status) {
  const { site, stock, unitsOnSale } = sale;
  const isNewStatus = status !== announcedStatus;
  const isQuiet = itemsOf(sale).length > 1 || performance.now() - announcedAt < STOCK_EVERY_MS;
  if (!isNewStatus && isQuiet) return;
  announcedStatus = status;
  announcedAt = performance.now();
  // Nothing is sold in front of another site.
  const units = site ? [] : [texts.stockAnnouncement(stock, unitsOnSale)];
  setText(byId('announcement'), [`${texts.saleStatus[status]}.`, ...units].join(' '));
}

/** The id of the chosen item whose end was announced. @type {string | null} */
let announcedItem = null;

/** @param {SaleItem | null} choice @param {string} soldOut the text to announce, once; empty while units are left */
export function announceChoice(choice, soldOut) {
  const item = soldOut === '' ? null : (choice?.id ?? null);
  if (item !== null && item !== announcedItem) setText(byId('announcement'), soldOut);
  announcedItem = item;
}
