/** Tells a screen reader what the eye sees moving: a change of state at once, the stock only now and then. */

/** @import { SaleSnapshot, SaleStatus } from '../../sale/contract.ts' */

import { part, setText } from './dom.js';
import { texts } from './texts.js';

const QUIET_MS = 15_000;

/** @type {SaleStatus | null} */
let toldStatus = null;
let toldAt = Number.NEGATIVE_INFINITY;

/** @param {SaleSnapshot} sale @param {SaleStatus} status */
export function speakStock({ stock, unitsOnSale }, status) {
  const isNews = status !== toldStatus;
  if (!isNews && performance.now() - toldAt < QUIET_MS) return;
  toldStatus = status;
  toldAt = performance.now();
  setText(part('spoken'), `${texts.saleStatus[status]}. ${texts.stockSpoken(stock, unitsOnSale)}`);
}
