/** Announces changes to screen readers: a new status at once, the stock at most every 15 seconds. */

/** @import { SaleSnapshot, SaleStatus } from '../../sale/contract.ts' */

import { byId, setText } from './dom.js';
import { texts } from './texts.js';

const STOCK_EVERY_MS = 15_000;

/** @type {SaleStatus | null} */
let announcedStatus = null;
let announcedAt = Number.NEGATIVE_INFINITY;

/** @param {SaleSnapshot} sale @param {SaleStatus} status */
export function announceStock({ stock, unitsOnSale }, status) {
  const isNewStatus = status !== announcedStatus;
  if (!isNewStatus && performance.now() - announcedAt < STOCK_EVERY_MS) return;
  announcedStatus = status;
  announcedAt = performance.now();
  setText(
    byId('announcement'),
    `${texts.saleStatus[status]}. ${texts.stockAnnouncement(stock, unitsOnSale)}`,
  );
}
