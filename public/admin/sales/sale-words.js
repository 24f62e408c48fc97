/** What a sale offers, in words, as staff confirm it. */

/** @import { SaleItem, SaleSnapshot } from '../../../sale/contract.ts' */

import { serverNow } from '../../shared/clock.js';
import { countdown, longDateTime, money, wholeSpan } from '../../shared/format.js';
import { saleName } from '../../shared/items.js';
import { timeZone } from '../../shared/language.js';
import { texts } from '../texts.js';
import { botsInWords } from './bot-fields.js';
import { phasesInWords } from './phases.js';

/** @param {SaleSnapshot} sale @returns {[name: string, words: string][]} */
export function inWords(sale) {
  const { items, unitsOnSale, limitPerBuyer, opensAt, closesAt, paymentWindowSeconds } = sale;
  const { terms: t } = texts;
  if (sale.site) return withoutOrders(sale);
  const total = items.length > 1 ? [/** @type {[string, string]} */ ([t.inAll, t.units(unitsOnSale)])] : [];
  return [
    ...items.map((item) => /** @type {[string, string]} */ ([nameOf(item), itemInWords(item)])),
    ...total,
    [t.limit, t.eachPerson(limitPerBuyer)],
    [t.whoMayBuy, sale.requiresVerifiedEmail ? t.verified : t.everybody],
    ...phasesInWords(sale),
    [t.givenOut, givingInWords(sale)],
    [texts.bots.title, botsInWords(sale)],
    [t.payment, paymentInWords(paymentWindowSeconds)],
    [t.opens, openingInWords(opensAt)],
    [t.ends, t.endsAfter(momentInWords(closesAt), lengthInWords(opensAt, closesAt))],
    [t.cancelling, sale.cancellableUntil ? t.until(momentInWords(sale.cancellableUntil)) : t.onlyShop],
  ];
}

/** Of a waiting room in front of another site, where nothing is sold here. @param {SaleSnapshot} sale @returns {[name: string, words: string][]} */
const withoutOrders = (sale) => [
  [texts.words.product, saleName(sale)],
  [texts.terms.whoMayBuy, sale.requiresVerifiedEmail ? texts.terms.verified : texts.terms.everybody],
  ...phasesInWords(sale),
  [texts.terms.givenOut, givingInWords(sale)],
  [texts.bots.title, botsInWords(sale)],
  [texts.terms.opens, openingInWords(sale.opensAt)],
  [
    texts.terms.ends,
    texts.terms.endsAfter(momentInWords(sale.closesAt), lengthInWords(sale.opensAt, sale.closesAt)),
  ],
];

/** @param {SaleSnapshot} sale */
function givingInWords({ mode, roomPerMinute, site, drawAt, waitingList }) {
  const { terms: t } = texts;
  if (mode === 'room') {
    const pace = roomPerMinute ? t.atMostAMinute(roomPerMinute) : '';
    return t.inTurn + pace + (site ? t.inFrontOf(site.url, site.inside) : '');
  }
  if (drawAt) return t.byDraw(momentInWords(drawAt));
  return t.firstCome + (waitingList ? t.thenList : '');
}

/** @param {number} seconds */
const paymentInWords = (seconds) =>
  seconds === 0 ? texts.terms.notHere : texts.terms.payWithin(wholeSpan(seconds));

/** @param {Pick<SaleItem, 'product' | 'label'>} item */
export const nameOf = ({ product, label }) => (label ? `${product.name}, ${label}` : product.name);

/** @param {SaleItem} item */
function itemInWords({ price, oldPrice, unitsOnSale, limitPerBuyer }) {
  const { terms: t } = texts;
  const cost = price.amount === 0 ? t.free(money(price)) : t.each(money(price));
  const before = oldPrice ? t.before(money(oldPrice)) : '';
  const limit = limitPerBuyer === null ? '' : t.limitEach(limitPerBuyer);
  return `${cost}${before}, ${t.units(unitsOnSale)}${limit}`;
}

/** @param {string} opensAt */
function openingInWords(opensAt) {
  const inMs = Date.parse(opensAt) - serverNow();
  return inMs > 0 ? texts.terms.opensIn(momentInWords(opensAt), countdown(inMs)) : texts.terms.atOnce;
}

/** @param {string} at */
const momentInWords = (at) => `${longDateTime(at)} (${timeZone})`;

/** @param {string} from @param {string} to */
function lengthInWords(from, to) {
  return countdown(Date.parse(to) - Math.max(Date.parse(from), serverNow()));
}
