/** What a sale offers, in words, as staff confirm it. */

/** @import { SaleItem, SaleSnapshot } from '../../../sale/contract.ts' */

import { serverNow } from '../../shared/clock.js';
import { countdown, longDateTime, money, number } from '../../shared/format.js';
import { timeZone } from '../../shared/language.js';
import { botsInWords } from './bot-fields.js';
import { phasesInWords } from './phases.js';

/** @param {SaleSnapshot} sale @returns {[name: string, words: string][]} */
export function inWords(sale) {
  const { items, unitsOnSale, limitPerBuyer, opensAt, closesAt, paymentWindowSeconds } = sale;
  const total = items.length > 1 ? [/** @type {[string, string]} */ (['In all', units(unitsOnSale)])] : [];
  return [
    ...items.map((item) => /** @type {[string, string]} */ ([nameOf(item), itemInWords(item)])),
    ...total,
    ['Limit', `${number(limitPerBuyer)} for each person`],
    ['Who may buy', sale.requiresVerifiedEmail ? 'only confirmed addresses' : 'everybody with an account'],
    ...phasesInWords(sale),
    ['Given out', givingInWords(sale)],
    [texts.bots.title, botsInWords(sale)],
    ['Payment', paymentInWords(paymentWindowSeconds)],
    ['Opens', openingInWords(opensAt)],
    ['Ends', `${momentInWords(closesAt)}, ${lengthInWords(opensAt, closesAt)} after the opening`],
    [
      'Cancelling',
      sale.cancellableUntil ? `until ${momentInWords(sale.cancellableUntil)}` : 'only by the shop',
    ],
  ];
}

/** @param {SaleSnapshot} sale */
function givingInWords({ mode, roomPerMinute, drawAt, waitingList }) {
  if (mode === 'room') {
    const pace = roomPerMinute ? `, at most ${number(roomPerMinute)} people a minute` : '';
    return `in turn, from a waiting room: places are drawn at the opening${pace}`;
  }
  if (drawAt) return `by a draw at ${momentInWords(drawAt)}, among all who enter from the opening until then`;
  const returning = waitingList ? '; after a sell-out those that come back go to a waiting list' : '';
  return `to those who press first${returning}`;
}

/** @param {number} seconds */
const paymentInWords = (seconds) =>
  seconds === 0
    ? 'not here: every order counts as paid'
    : `within ${countdown(seconds * 1_000)}, or the units go back on sale`;

/** @param {Pick<SaleItem, 'product' | 'label'>} item */
export const nameOf = ({ product, label }) => (label ? `${product.name}, ${label}` : product.name);

/** @param {SaleItem} item */
function itemInWords({ price, oldPrice, unitsOnSale, limitPerBuyer }) {
  const cost = price.amount === 0 ? `free of charge (${money(price)})` : `${money(price)} each`;
  const before = oldPrice ? `, ${money(oldPrice)} before` : '';
  const limit = limitPerBuyer === null ? '' : `, at most ${number(limitPerBuyer)} for each person`;
  return `${cost}${before}, ${units(unitsOnSale)}${limit}`;
}

/** @param {number} count */
const units = (count) => `${number(count)} ${count === 1 ? 'unit' : 'units'}`;

/** @param {string} opensAt */
function openingInWords(opensAt) {
  const inMs = Date.parse(opensAt) - serverNow();
  return inMs > 0 ? `${momentInWords(opensAt)}, in ${countdown(inMs)}` : 'at once, when it is published';
}

/** @param {string} at */
const momentInWords = (at) => `${longDateTime(at)} (${timeZone})`;

/** @param {string} from @param {string} to */
function lengthInWords(from, to) {
  return countdown(Date.parse(to) - Math.max(Date.parse(from), serverNow()));
}
