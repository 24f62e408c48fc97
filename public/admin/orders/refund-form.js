/** The dialog that gives money of a paid order back: all that is left, or a part. */

/** @import { OrderDetails, OrderPayment } from '../../../insight/contract.ts' */

import { newIdempotencyKey } from '../../sale/pending.js';
import { element } from '../../shared/dom.js';
import { money } from '../../shared/format.js';
import { moneyLocale } from '../../shared/language.js';
import { parseAmount, typedAmount } from '../../shared/money.js';
import { field, openForm } from '../form.js';
import { texts } from '../texts.js';
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
  const { refundForm: t, words } = texts;
  const left = { amount: refundableAmount, currency };
  const reason = field(
    words.reason,
    'reason',
    { required: true, maxlength: '300', autocomplete: 'off' },
    words.reasonHint,
  );
  const amount = field(
    t.amountIn(currency),
    'amount',
    { inputmode: 'decimal', autocomplete: 'off', value: typedAmount(left, moneyLocale) },
    t.amountHint(money(left)),
  );
  // However often the same amount has to be sent, it is one refund.
  const dialog = newIdempotencyKey();
  return openForm(
    t.title,
    [amount, reason, element('p', { class: 'hint' }, t.hint)],
    (read) => {
      const wanted = read.read('amount', words.amount, (text) => parseAmount(text, currency, moneyLocale));
      if (wanted !== undefined && (wanted < 1 || wanted > refundableAmount))
        read.refuse('amount', texts.faultOf(words.amount, t.outside(money(left))));
      const why = read.textOf('reason');
      if (why === '') read.refuse('reason', texts.faultOf(words.reason, t.noReason));
      read.done();
      const part = wanted === refundableAmount ? {} : { amount: wanted };
      return refundOrder(orderId, { ...part, reason: why }, `${dialog}-${wanted}`);
    },
    { submit: t.submit, back: texts.backToNow },
  );
}
