/** The dialog that asks why orders are cancelled, and whether their units go back on sale. */

import { element } from '../../shared/dom.js';
import { number } from '../../shared/format.js';
import { field, openForm } from '../form.js';

/** @import { Why } from './desk-api.js' */

const USUAL_REASONS = [
  'Damaged or lost before shipping',
  'Asked for by the buyer',
  'Bought against the rules',
];

/**
 * @template Result
 * @param {number} orders how many are to be cancelled
 * @param {(why: Why) => Promise<Result>} cancel
 * @returns {Promise<Result | null>} null when the dialog was closed
 */
export function openCancelForm(orders, cancel) {
  const title = orders === 1 ? 'Cancel this order' : `Cancel ${number(orders)} orders`;
  const reasons = element(
    'datalist',
    { id: 'usual-reasons' },
    ...USUAL_REASONS.map((value) => element('option', { value })),
  );
  const reason = field(
    'Reason',
    'reason',
    { required: true, maxlength: '300', list: 'usual-reasons', autocomplete: 'off' },
    'The buyer sees it, in the shop and in the mail.',
  );
  return openForm(
    title,
    [reason, reasons, restockChoice()],
    (read) => cancel({ reason: read.textOf('reason'), restock: read.textOf('restock') === 'yes' }),
    { submit: orders === 1 ? 'Cancel the order' : 'Cancel the orders', back: 'Back' },
  );
}

function restockChoice() {
  return element(
    'fieldset',
    { class: 'choice' },
    element('legend', {}, 'The units'),
    choice('yes', 'Put back on sale', 'Others can buy them at once, if the sale is open.', true),
    choice('no', 'Keep back', 'They leave the sale, for good.', false),
  );
}

/** @param {string} value @param {string} label @param {string} hint @param {boolean} checked */
function choice(value, label, hint, checked) {
  const input = element('input', { type: 'radio', name: 'restock', value, checked });
  return element('label', {}, input, element('span', {}, label, element('span', { class: 'hint' }, hint)));
}
