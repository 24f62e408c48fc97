/** Lets a buyer cancel an order, or give a held one back, and says until when that is possible. */

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
 * What an order's line says about cancelling it. One that is only held can always be given back.
 * @param {Order} order @param {SaleSnapshot | undefined} sale
 * @param {(order: Order) => void} onCancelled
 * @returns {Node[]}
 */
export function cancellingOf(order, sale, onCancelled) {
  const isHeld = order.status === 'held';
  const untilMs = isHeld ? Number.POSITIVE_INFINITY : cancellableUntilMs(sale);
  if (!(isHeld || order.status === 'paid') || !sale || untilMs === null) return [];
  if (untilMs <= serverNow()) return [element('p', { class: 'muted' }, texts.cancelOver)];
  const words = isHeld
    ? { button: texts.giveBack, question: texts.giveBackConfirm, done: texts.giveBackDone }
    : { button: texts.cancelOrder, question: texts.cancelConfirm, done: texts.cancelDone };
  const button = element(
    'button',
    { type: 'button', class: 'quiet small', 'data-testid': 'cancel-order' },
    words.button,
  );
  button.addEventListener('click', async () => {
    if (button.disabled || !confirm(words.question(sale.product.name))) return;
    button.disabled = true;
    try {
      onCancelled(await asBuyer((token) => cancelOrder(token, order.id)));
      toast(words.done);
    } catch (error) {
      button.disabled = false;
      toast(failureText(error));
    }
  });
  const until = isHeld ? '' : texts.cancelUntil(dateTime(untilMs));
  return [element('p', { class: 'muted order-cancelling' }, until, button)];
}

/** @param {unknown} error */
function failureText(error) {
  if (error instanceof NotSignedIn) return texts.signInAgain;
  if (error instanceof Problem && error.name === 'not-cancellable') return texts.cancelOver;
  return texts.noAnswer;
}
