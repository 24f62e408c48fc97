/** The card that shows an order: its status, its steps with their times, and the reason when it failed. */

/** @import { Order, OrderStatus } from '../../sale/contract.ts' */
/** @import { Problem } from '../shared/api.js' */
/** @import { PendingPurchase } from '../sale/pending.js' */

import { byId, element, setText } from '../shared/dom.js';
import { duration, time } from '../shared/format.js';
import { texts } from '../shared/texts.js';

/**
 * @typedef {object} OrderCard an order, a pending purchase, or a purchase that was refused
 * @property {OrderStatus | 'sending' | 'refused'} status
 * @property {number} quantity
 * @property {string | undefined} id
 * @property {number | undefined} sentAt
 * @property {string | number | undefined} acceptedAt
 * @property {string | number | undefined} settledAt
 * @property {string} note
 */

/** @param {Order} order @param {number} [sentAt] known only to the page that sent the order @returns {OrderCard} */
export function cardOfOrder(order, sentAt) {
  const took = order.settledAt ? Date.parse(order.settledAt) - Date.parse(order.createdAt) : 0;
  return {
    status: order.status,
    quantity: order.quantity,
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
  return order.status === 'queued' ? texts.addQueued : '';
}

/** @param {PendingPurchase} purchase @returns {OrderCard} */
export function cardOfPending({ orderId, quantity, sentAt, acceptedAt }) {
  return {
    status: orderId ? 'queued' : 'sending',
    quantity,
    id: orderId,
    sentAt,
    acceptedAt: orderId ? acceptedAt : undefined,
    settledAt: undefined,
    note: orderId ? texts.addQueued : '',
  };
}

/** @param {Problem} problem @param {PendingPurchase} purchase @returns {OrderCard} */
export function cardOfRefusal(problem, { quantity, sentAt }) {
  const { left = 0 } = problem.details;
  const isShort = problem.name === 'sold-out' && left > 0;
  const known = Object.hasOwn(texts.refusal, problem.name) ? texts.refusal[problem.name] : undefined;
  const note = isShort ? texts.refusalLeft(left) : (known ?? problem.message);
  const none = undefined;
  return { status: 'refused', quantity, id: none, sentAt, acceptedAt: none, settledAt: none, note };
}

/** @typedef {'done' | 'current' | 'failed' | 'waiting'} StepState */

/** @param {OrderCard} orderCard */
function stepsOf({ status, sentAt, acceptedAt, settledAt }) {
  const isRefused = status === 'refused';
  const isPending = status === 'sending' || status === 'queued' || status === 'held';
  /** @type {StepState} */
  const accepted = isRefused ? 'failed' : status === 'sending' ? 'current' : 'done';
  /** @type {StepState} */
  const outcome = settledAt
    ? status === 'paid'
      ? 'done'
      : 'failed'
    : status === 'queued'
      ? 'current'
      : 'waiting';
  const steps = [
    { label: texts.stepSent, state: 'done', at: sentAt },
    { label: isRefused ? texts.orderStatus.refused : texts.stepAccepted, state: accepted, at: acceptedAt },
    { label: isPending ? texts.stepOutcome : texts.orderStatus[status], state: outcome, at: settledAt },
  ];
  return isRefused ? steps.slice(0, 2) : steps;
}

/** Fills the page's order card. @param {OrderCard} card */
export function renderOrder(card) {
  const status = byId('order-status');
  setText(status, texts.orderStatus[card.status]);
  byId('order').dataset.status = card.status;
  setText(byId('order-pieces'), texts.pieces(card.quantity));
  setText(byId('order-number'), card.id ? texts.orderNumber(card.id) : '');
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
