/** Stripe's own form, in frames of Stripe's own. Its script is loaded only when a buyer pays in a shop that uses Stripe. */

/** @import { PaymentForm } from './pay-panel.js' */

import { element } from '../../shared/dom.js';
import { language } from '../../shared/language.js';

const SCRIPT = 'https://js.stripe.com/v3/';
const LOAD_MS = 15_000;

/**
 * The part of Stripe.js that this page uses.
 * @typedef {{ type: string, code?: string, decline_code?: string }} StripeError
 * @typedef {{ mount(place: HTMLElement): void, destroy(): void, on(event: string, listener: () => void): void }} StripeElement
 * @typedef {{ create(name: string): StripeElement }} StripeElements
 * @typedef {object} StripeClient
 * @property {(options: object) => StripeElements} elements
 * @property {(options: object) => Promise<{ error?: StripeError }>} confirmPayment
 */

/** @type {Promise<(key: string, options: object) => StripeClient> | null} */
let loading = null;

function load() {
  loading ??= new Promise((resolve, reject) => {
    const script = element('script', { src: SCRIPT });
    const fail = () => {
      script.remove();
      loading = null;
      reject(new Error('Stripe.js did not load'));
    };
    const timer = setTimeout(fail, LOAD_MS);
    script.addEventListener('error', fail);
    script.addEventListener('load', () => {
      clearTimeout(timer);
      resolve(/** @type {any} */ (globalThis).Stripe);
    });
    document.head.append(script);
  });
  return loading;
}

/**
 * @param {HTMLElement} place @param {{ clientSecret: string, publishableKey: string }} payment
 * @returns {Promise<PaymentForm>}
 * @throws Error when Stripe.js does not load
 */
export async function openStripeForm(place, { clientSecret, publishableKey }) {
  const stripe = (await load())(publishableKey, { locale: language });
  const elements = stripe.elements({ clientSecret, appearance: appearance() });
  const form = elements.create('payment');
  const box = element('div', { class: 'pay-stripe', 'data-testid': 'stripe-form' });
  place.replaceChildren(box);
  form.mount(box);
  return {
    async pay() {
      // A bank may want to see the buyer on a page of its own, from which they come back here.
      const return_url = `${location.origin}${location.pathname}#pay`;
      const { error } = await stripe.confirmPayment({
        elements,
        redirect: 'if_required',
        confirmParams: { return_url },
      });
      if (!error) return { kind: 'sent' };
      // Stripe's form shows itself what is missing.
      if (error.type === 'validation_error') return { kind: 'incomplete' };
      const failure = error.decline_code ?? error.code ?? '';
      return error.type === 'card_error' ? { kind: 'refused', failure } : { kind: 'unknown' };
    },
    lock: (isLocked) => box.toggleAttribute('inert', isLocked),
    remove() {
      form.destroy();
      box.remove();
    },
  };
}

/** Stripe's frames know nothing of this page's colours. */
function appearance() {
  const styles = getComputedStyle(document.documentElement);
  const token = (/** @type {string} */ name) => styles.getPropertyValue(`--${name}`).trim();
  return {
    theme: matchMedia('(prefers-color-scheme: dark)').matches ? 'night' : 'stripe',
    variables: {
      colorPrimary: token('hot'),
      colorBackground: token('surface'),
      colorText: token('ink'),
      colorDanger: token('hot-text'),
      borderRadius: token('radius-small'),
    },
  };
}
