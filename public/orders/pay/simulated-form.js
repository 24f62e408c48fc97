/** The form of the simulated provider: the buyer chooses how the test card behaves. */

/** @import { PaymentForm } from './pay-panel.js' */

import { Problem } from '../../shared/api.js';
import { element } from '../../shared/dom.js';
import { texts } from '../../shared/texts.js';
import { confirmSimulated } from './payment-api.js';

/** @param {HTMLElement} place @param {{ clientSecret: string }} payment @returns {PaymentForm} */
export function openSimulatedForm(place, { clientSecret }) {
  const options = Object.entries(texts.pay.cards).map(([card, label], at) =>
    element(
      'label',
      { class: 'pay-card' },
      element('input', { type: 'radio', name: 'card', value: card, checked: at === 0 }),
      element('span', {}, label),
    ),
  );
  const cards = element(
    'fieldset',
    { class: 'pay-cards' },
    element('legend', {}, texts.pay.test),
    ...options,
  );
  place.replaceChildren(cards);
  return {
    async pay() {
      const chosen = /** @type {HTMLInputElement | null} */ (cards.querySelector('input:checked'));
      try {
        const { failure } = await confirmSimulated(clientSecret, chosen?.value ?? 'ok');
        return failure === null ? { kind: 'sent' } : { kind: 'refused', failure };
      } catch (error) {
        // Whether it was paid is told by the payment itself.
        return { kind: error instanceof Problem && error.status === 404 ? 'gone' : 'unknown' };
      }
    },
    lock(isLocked) {
      cards.disabled = isLocked;
    },
    remove: () => cards.remove(),
  };
}
