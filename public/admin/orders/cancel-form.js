/** The dialog that asks why orders are cancelled, and whether their units go back on sale. */

import { element } from '../../shared/dom.js';
import { field, openForm } from '../form.js';
import { texts } from '../texts.js';

/** @import { Why } from './desk-api.js' */

/**
 * @template Result
 * @param {number} orders how many are to be cancelled
 * @param {(why: Why) => Promise<Result>} cancel
 * @returns {Promise<Result | null>} null when the dialog was closed
 */
export function openCancelForm(orders, cancel) {
  const { cancelForm: t, words } = texts;
  const title = orders === 1 ? t.one : t.some(orders);
  const reasons = element(
    'datalist',
    { id: 'usual-reasons' },
    ...t.usualReasons.map((value) => element('option', { value })),
  );
  const reason = field(
    words.reason,
    'reason',
    { required: true, maxlength: '300', list: 'usual-reasons', autocomplete: 'off' },
    words.reasonHint,
  );
  return openForm(
    title,
    [reason, reasons, restockChoice()],
    (read) => cancel({ reason: read.textOf('reason'), restock: read.textOf('restock') === 'yes' }),
    { submit: orders === 1 ? t.submitOne : t.submitSome, back: texts.backToNow },
  );
}

function restockChoice() {
  const { cancelForm: t } = texts;
  return element(
    'fieldset',
    { class: 'choice' },
    element('legend', {}, t.units),
    choice('yes', t.restock, t.restockHint, true),
    choice('no', t.keep, t.keepHint, false),
  );
}

/** @param {string} value @param {string} label @param {string} hint @param {boolean} checked */
function choice(value, label, hint, checked) {
  const input = element('input', { type: 'radio', name: 'restock', value, checked });
  return element('label', {}, input, element('span', {}, label, element('span', { class: 'hint' }, hint)));
}
