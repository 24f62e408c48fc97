/** The dialog that gives money of a paid order back: all that is left, or a part. */

/** @import { OrderDetails, OrderPayment } from '../../../insight/contract.ts' */

import { newIdempotencyKey } from '../../sale/pending.js';
import { element } from '../../shared/dom.js';
import { money } from '../../shared/format.js';
import { locale } from '../../shared/language.js';
import { parseAmount, typedAmount } from '../../shared/money.js';
import { field, openForm } from '../form.js';
import { refundOrder } from './desk-api.js';

/** What can still be given back, of the payment that has paid the order; null when there is nothing. @param {OrderDetails} details */
export function refundableOf({ order, payments }) {
  if (order.status !== 'paid') return null;
  return payments.find(({ refundableAmount }) => refundableAmount > 0) ?? null;
}

/**
 * @param {string} orderId @param {OrderPayment} payment
 * @returns {Promise<OrderDetails | null>} null when the dialog was closed
 */
export function openRefundForm(orderId, { refundableAmount, currency }) {
  const left = { amount: refundableAmount, currency };
  const reason = field(
    'Reason',
    'reason',
    { required: true, maxlength: '300', autocomplete: 'off' },
    'The buyer sees it, in the shop and in the mail.',
  );
  const amount = field(
    `Amount in ${currency}`,
    'amount',
    { inputmode: 'decimal', autocomplete: 'off', value: typedAmount(left, locale) },
    `At most ${money(left)}. With all of it the order ends as refunded, and its units leave the sale.`,
  );
  // However often the same amount has to be sent, it is one refund.
  const dialog = newIdempotencyKey();
  return openForm(
    'Give money back',
    [
      amount,
      reason,
      element('p', { class: 'hint' }, 'It goes back the way it came, and cannot be taken again.'),
    ],
    (read) => {
      const wanted = read.read('amount', 'Amount', (text) => parseAmount(text, currency, locale));
      if (wanted !== undefined && (wanted < 1 || wanted > refundableAmount))
        read.refuse('amount', `Amount: expected more than 0 and at most ${money(left)}`);
      const why = read.textOf('reason');
      if (why === '') read.refuse('reason', 'Reason: expected a word or two');
      read.done();
      const part = wanted === refundableAmount ? {} : { amount: wanted };
      return refundOrder(orderId, { ...part, reason: why }, `${dialog}-${wanted}`);
    },
    { submit: 'Give it back', back: 'Back' },
  );
}
