/** How lists of the desk show an order. */

/** @import { AdminOrder, OrderDetails } from '../../../insight/contract.ts' */

import { element } from '../../shared/dom.js';
import { money, number } from '../../shared/format.js';
import { shortNumberOf } from '../../shared/items.js';
import { texts as storefront } from '../../shared/texts.js';
import { reasonText } from '../sales/report.js';
import { texts } from '../texts.js';

/** The number that the buyer sees, which leads to the order. @param {AdminOrder} order */
export const orderLink = ({ id }) =>
  element(
    'a',
    { href: `#order/${encodeURIComponent(id)}`, title: id },
    element('code', {}, shortNumberOf(id)),
  );

/** Whether staff can cancel it. @param {AdminOrder} order */
export const isCancellable = ({ status }) => status === 'paid' || status === 'held';

/** Why an order was cancelled: a code of the system's, or the staff's own words. @param {string | null | undefined} reason */
export const cancelReasonText = (reason) =>
  reason && Object.hasOwn(texts.orders.cancelReasons, reason) ? texts.orders.cancelReasons[reason] : reason;

/** @param {AdminOrder} order */
export function outcomeOf({ status, reason, cancelledBy, cancelReason }) {
  const chip = element('span', { class: 'chip', 'data-status': status }, storefront.orderStatus[status]);
  const why = cancelReasonText(cancelReason) ?? (cancelledBy === 'buyer' ? texts.orders.byBuyer : '');
  const title = reason ? storefront.rejection[reason] : why;
  return element(
    'span',
    { class: 'outcome' },
    chip,
    element('span', { class: 'muted', title }, reason ? reasonText(reason) : why),
  );
}

/** @param {AdminOrder} order */
export function amountOf({ amount, currency }) {
  return amount === null || currency === null ? '–' : money({ amount, currency });
}

/** @param {AdminOrder} order */
export function unitsOf({ quantity, lines }) {
  const labels = lines.map(({ label, quantity }) => (label ? `${number(quantity)} × ${label}` : ''));
  return labels.some(Boolean) ? labels.join(', ') : number(quantity);
}

/** What makes an order worth a look. @param {NonNullable<OrderDetails['suspicion']>} suspicion */
export const sharedBy = ({ shared, buyers }) =>
  (shared === 'network' ? texts.orders.sharedNetwork : texts.orders.sharedCard)(buyers);

/** @param {AdminOrder} order */
export const buyerOf = ({ email, name, buyerId }) =>
  element('span', { title: buyerId }, email ?? name ?? buyerId);

/**
 * A box that selects an order.
 * @param {AdminOrder} order @param {Set<string>} selected the ids @param {() => void} onChange
 */
export function selectBox({ id }, selected, onChange) {
  const box = element('input', {
    type: 'checkbox',
    'aria-label': texts.orders.selectOrder(shortNumberOf(id)),
  });
  box.checked = selected.has(id);
  box.addEventListener('change', () => {
    if (box.checked) selected.add(id);
    else selected.delete(id);
    onChange();
  });
  return box;
}
