/** Lets a buyer cancel an order, and says until when that is possible, or who cancelled it and why. */

/** @import { Order, SaleSnapshot } from '../../sale/contract.ts' */

import { asBuyer, NotSignedIn } from '../account/session.js';
import { cancelOrder, Problem } from '../shared/api.js';
import { serverNow } from '../shared/clock.js';
import { element } from '../shared/dom.js';
import { dateTime } from '../shared/format.js';
import { texts } from '../shared/texts.js';
import { toast } from '../shared/toast.js';

/**
 * When the buyer can no longer cancel it, in ms; null when they never can.
 * @param {SaleSnapshot | undefined} sale
 */
export function cancellableUntilMs(sale) {
  // A server of the previous version sends none.
  const until = sale?.cancellableUntil ?? null;
  return until === null ? null : Date.parse(until);
}

/**
 * What an order's line says about cancelling it.
 * @param {Order} order @param {SaleSnapshot | undefined} sale
 * @param {(order: Order) => void} onCancelled
 * @returns {Node[]}
 */
export function cancellingOf(order, sale, onCancelled) {
  if (order.status === 'cancelled') {
    const text = cancelledText(order);
    return text ? [element('p', { class: 'muted' }, text)] : [];
  }
  const untilMs = cancellableUntilMs(sale);
  if (order.status !== 'paid' || !sale || untilMs === null) return [];
  if (untilMs <= serverNow()) return [element('p', { class: 'muted' }, texts.cancelOver)];
  const button = element(
    'button',
    { type: 'button', class: 'quiet small', 'data-testid': 'cancel-order' },
    texts.cancelOrder,
  );
  button.addEventListener('click', async () => {
    if (button.disabled || !confirm(texts.cancelConfirm(sale.product.name))) return;
    button.disabled = true;
    try {
      onCancelled(await asBuyer((token) => cancelOrder(token, order.id)));
      toast(texts.cancelDone);
    } catch (error) {
      button.disabled = false;
      toast(failureText(error));
    }
  });
  const until = texts.cancelUntil(dateTime(new Date(untilMs).toISOString()));
  return [element('p', { class: 'muted order-cancelling' }, until, button)];
}

/** @param {Order} order */
function cancelledText({ cancelledBy, cancelReason }) {
  if (cancelReason === 'called_off') return texts.calledOff;
  if (cancelledBy === 'staff') return texts.cancelledByShop(cancelReason ?? '');
  return cancelledBy === 'buyer' ? texts.cancelledByBuyer : '';
}

/** @param {unknown} error */
function failureText(error) {
  if (error instanceof NotSignedIn) return texts.signInAgain;
  if (error instanceof Problem && error.name === 'not-cancellable') return texts.cancelOver;
  return texts.noAnswer;
}
