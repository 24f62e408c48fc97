/** The card that shows an order: its status, and what that means for its buyer. */

/** @import { Money, Order, OrderStatus, SaleSnapshot } from '../../sale/contract.ts' */
/** @import { Problem } from '../shared/api.js' */
/** @import { Line } from '../shared/items.js' */
/** @import { PendingPurchase } from '../sale/pending.js' */

import { byId, element, setText, show } from '../shared/dom.js';
import { dateTime, money, number } from '../shared/format.js';
import { addressOfOrder, amountOf, linesOf, shortNumberOf } from '../shared/items.js';
import { texts } from '../shared/texts.js';

/**
 * @typedef {object} OrderCard an order, a pending purchase, or a purchase that was refused
 * @property {OrderStatus | 'sending' | 'refused'} status
 * @property {number} quantity
 * @property {Line[]} lines
 * @property {string | undefined} id
 * @property {string} note
 */

/** @param {Order} order @param {SaleSnapshot} sale @returns {OrderCard} */
export function cardOfOrder(order, sale) {
  const { id, status, quantity } = order;
  return { status, quantity, lines: linesOf(order, sale), id, note: noteOf(order) };
}

/** What an order's status means for its buyer. @param {Order} order */
export function noteOf({ status, reason, holdExpiresAt, cancelledBy, cancelReason }) {
  if (reason) return texts.rejection[reason];
  if (status === 'queued') return texts.addQueued;
  if (status === 'held' && holdExpiresAt) return texts.heldUntil(dateTime(holdExpiresAt));
  if (status === 'paid') return texts.notePaid;
  if (status === 'expired') return texts.holdOver;
  if (status === 'refunded') return texts.refundedByShop(cancelReason ?? '');
  if (status !== 'cancelled') return '';
  if (cancelReason === 'payment_lost') return texts.paymentLost;
  if (cancelReason === 'called_off') return texts.calledOff;
  if (cancelledBy === 'staff') return texts.cancelledByShop(cancelReason ?? '');
  return cancelledBy === 'buyer' ? texts.cancelledByBuyer : '';
}

/** @param {PendingPurchase} purchase @param {SaleSnapshot} sale @returns {OrderCard} */
export function cardOfPending(purchase, sale) {
  const { orderId, quantity } = purchase;
  return {
    status: orderId ? 'queued' : 'sending',
    quantity,
    lines: linesOf(purchase, sale),
    id: orderId,
    note: orderId ? texts.addQueued : '',
  };
}

/**
 * @param {Problem} problem @param {PendingPurchase} purchase @param {SaleSnapshot} sale with the stock that is shown
 * @returns {OrderCard}
 */
export function cardOfRefusal(problem, purchase, sale) {
  const { quantity } = purchase;
  const lines = linesOf(purchase, sale);
  const note = isBack(problem, lines, sale) ? texts.refusalBack : noteOfRefusal(problem, lines);
  return { status: 'refused', quantity, lines, id: undefined, note };
}

/**
 * Whether units have come back since the buyer was told that there were too few: the card must not say "Sold out" below them.
 * @param {Problem} problem @param {Line[]} lines @param {SaleSnapshot} sale
 */
function isBack({ name, details }, [line], sale) {
  return name === 'sold-out' && (line?.item?.stock ?? sale.stock) > (details.left ?? 0);
}

/** @param {Problem} problem @param {Line[]} lines */
function noteOfRefusal({ name, details }, lines) {
  const { left = 0 } = details;
  if (name === 'sold-out' && left > 0) return texts.refusalLeft(left);
  if (name === 'sold-out' && lines[0]?.name) return texts.refusalSoldOutOf(lines[0].name);
  return (Object.hasOwn(texts.refusal, name) ? texts.refusal[name] : undefined) ?? texts.refusalOther;
}

/** Fills the page's order card. @param {OrderCard} card */
export function renderOrder(card) {
  const status = byId('order-status');
  setText(status, texts.orderStatus[card.status]);
  byId('order').dataset.status = card.status;
  setText(byId('order-pieces'), texts.pieces(card.quantity));
  setText(byId('order-number'), card.id ? texts.orderNumber(shortNumberOf(card.id)) : '');
  drawLines(card.lines);
  setText(byId('order-note'), card.note);
  const link = /** @type {HTMLAnchorElement} */ (byId('order-link'));
  const isOrder = card.id !== undefined;
  setText(link, isOrder ? texts.openOrder : texts.myOrders);
  const address = isOrder ? addressOfOrder(card.id ?? '') : '/orders';
  if (link.getAttribute('href') !== address) link.href = address;
}

/** An order of a sale with one item has nothing to list. @param {Line[]} lines */
function drawLines(lines) {
  const list = byId('order-lines');
  const total = lines.length > 1 ? amountOf({}, lines) : null;
  const drawn = [...lines.map(lineOf), ...(total ? [pricedLine(texts.total, total)] : [])];
  show(
    list,
    lines.some(({ name }) => name !== ''),
  );
  if (list.textContent !== drawn.map(({ textContent }) => textContent).join(''))
    list.replaceChildren(...drawn);
}

/** @param {Line} line */
export const lineOf = ({ name, quantity, money: price }) =>
  pricedLine(`${number(quantity)} × ${name}`, price);

/** @param {string} text @param {Money | null} price */
const pricedLine = (text, price) =>
  element('li', {}, element('span', { dir: 'auto' }, text), element('span', {}, price ? money(price) : ''));
