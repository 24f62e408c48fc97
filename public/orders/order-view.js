/** The card that shows an order: its status, its steps with their times, and the reason when it failed. */

/** @import { Money, Order, OrderStatus, SaleSnapshot } from '../../sale/contract.ts' */
/** @import { Problem } from '../shared/api.js' */
/** @import { Line } from '../shared/items.js' */
/** @import { PendingPurchase } from '../sale/pending.js' */

import { byId, element, setText, show } from '../shared/dom.js';
import { dateTime, duration, money, number, time } from '../shared/format.js';
import { amountOf, linesOf, shortNumberOf } from '../shared/items.js';
import { texts } from '../shared/texts.js';

/**
 * @typedef {object} OrderCard an order, a pending purchase, or a purchase that was refused
 * @property {OrderStatus | 'sending' | 'refused'} status
 * @property {number} quantity
 * @property {Line[]} lines
 * @property {string | undefined} id
 * @property {number | undefined} sentAt
 * @property {string | number | undefined} acceptedAt
 * @property {string | number | undefined} settledAt
 * @property {string} note
 */

/**
 * @param {Order} order @param {SaleSnapshot} sale
 * @param {number} [sentAt] known only to the page that sent the order
 * @returns {OrderCard}
 */
export function cardOfOrder(order, sale, sentAt) {
  const took = order.settledAt ? Date.parse(order.settledAt) - Date.parse(order.createdAt) : 0;
  return {
    status: order.status,
    quantity: order.quantity,
    lines: linesOf(order, sale),
    id: order.id,
    sentAt,
    acceptedAt: order.createdAt,
    settledAt: order.settledAt ?? undefined,
    note: noteOf(order, took),
  };
}

/** @param {Order} order @param {number} took */
function noteOf(order, took) {
  if (order.reason) return texts.rejection[order.reason];
  if (order.status === 'paid') return texts.settledIn(duration(took));
  return order.status === 'queued' ? texts.addQueued : holdText(order);
}

/** Until when an order is held, or that it was held and not paid. @param {Order} order */
export function holdText({ status, holdExpiresAt }) {
  if (status === 'held' && holdExpiresAt) return texts.heldUntil(dateTime(holdExpiresAt));
  return status === 'expired' ? texts.holdOver : '';
}

/** @param {PendingPurchase} purchase @param {SaleSnapshot} sale @returns {OrderCard} */
export function cardOfPending(purchase, sale) {
  const { orderId, quantity, sentAt, acceptedAt } = purchase;
  return {
    status: orderId ? 'queued' : 'sending',
    quantity,
    lines: linesOf(purchase, sale),
    id: orderId,
    sentAt,
    acceptedAt: orderId ? acceptedAt : undefined,
    settledAt: undefined,
    note: orderId ? texts.addQueued : '',
  };
}

/** @param {Problem} problem @param {PendingPurchase} purchase @param {SaleSnapshot} sale @returns {OrderCard} */
export function cardOfRefusal(problem, purchase, sale) {
  const { quantity, sentAt } = purchase;
  const lines = linesOf(purchase, sale);
  const note = noteOfRefusal(problem, lines);
  const none = undefined;
  return { status: 'refused', quantity, lines, id: none, sentAt, acceptedAt: none, settledAt: none, note };
}

/** @param {Problem} problem @param {Line[]} lines */
function noteOfRefusal({ name, message, details }, lines) {
  const { left = 0 } = details;
  if (name === 'sold-out' && left > 0) return texts.refusalLeft(left);
  if (name === 'sold-out' && lines[0]?.name) return texts.refusalSoldOutOf(lines[0].name);
  return (Object.hasOwn(texts.refusal, name) ? texts.refusal[name] : undefined) ?? message;
}

/** @typedef {'done' | 'current' | 'failed' | 'waiting'} StepState */

/** @param {OrderCard} orderCard */
function stepsOf({ status, sentAt, acceptedAt, settledAt }) {
  const isRefused = status === 'refused';
  const isPending = status === 'sending' || status === 'queued' || status === 'held';
  /** @type {StepState} */
  const accepted = isRefused ? 'failed' : status === 'sending' ? 'current' : 'done';
  /** @type {StepState} */
  const outcome =
    status === 'queued' || status === 'held'
      ? 'current'
      : status === 'paid'
        ? 'done'
        : settledAt
          ? 'failed'
          : 'waiting';
  const steps = [
    { label: texts.stepSent, state: 'done', at: sentAt },
    { label: isRefused ? texts.orderStatus.refused : texts.stepAccepted, state: accepted, at: acceptedAt },
    {
      label: isPending ? texts.stepOutcome : texts.orderStatus[status],
      state: outcome,
      at: isPending ? 0 : settledAt,
    },
  ];
  return isRefused ? steps.slice(0, 2) : steps;
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
  const steps = stepsOf(card).map(({ label, state, at }) =>
    element(
      'li',
      { 'data-step': state },
      element('span', {}, label),
      element('time', {}, at ? time(at) : ''),
    ),
  );
  const timeline = byId('order-timeline');
  const isSame =
    steps.length === timeline.children.length &&
    steps.every((step, at) => step.isEqualNode(timeline.children[at] ?? null));
  if (!isSame) timeline.replaceChildren(...steps);
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
  element('li', {}, element('span', {}, text), element('span', {}, price ? money(price) : ''));
