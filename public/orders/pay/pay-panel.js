/** Pays a held order: opens the provider's form, and waits for what becomes of the payment. */

/** @import { PaymentStart } from '../../../sale/contract.ts' */

import { asBuyer, NotSignedIn } from '../../account/session.js';
import { Problem, Unreachable } from '../../shared/api.js';
import { jittered } from '../../shared/clock.js';
import { startPayment } from './payment-api.js';
import { openTabLock } from './tab-lock.js';

/**
 * @typedef {{ kind: 'sent' } | { kind: 'refused', failure: string } | { kind: 'incomplete' | 'unknown' | 'gone' }} PayOutcome
 *   `sent`: the provider has it; `incomplete`: the form says what is missing; `unknown`: there was no answer; `gone`: there
 *   is no such payment any more
 *
 * @typedef {object} PaymentForm
 * @property {() => Promise<PayOutcome>} pay
 * @property {(isLocked: boolean) => void} lock
 * @property {() => void} remove
 *
 * @typedef {'closed' | 'starting' | 'form' | 'checkout' | 'sending' | 'processing' | 'elsewhere' | 'unreachable'
 *   | 'not-here'} PayPhase
 *   `checkout`: the buyer pays in the shop's own checkout; `elsewhere`: another tab has the form open
 */

const ASK_EVERY_MS = 2_000;
/** Stands for a refusal: the provider gave no answer, and knows of no attempt to pay. */
const NO_ANSWER = 'no_answer';

/** @param {PaymentStart} started */
const isUnderWay = ({ state, isProcessing }) =>
  isProcessing === true || state === 'authorised' || state === 'captured';

/**
 * @param {string} orderId
 * @param {HTMLElement} place where the provider's form appears
 * @param {{ onChange: () => void, onMoved: () => Promise<boolean> }} page `onMoved` reads the order again and says whether it
 *   is still held
 */
export function openPayPanel(orderId, place, { onChange, onMoved }) {
  /** @type {PayPhase} */
  let phase = 'closed';
  /** The provider's word for the last refusal; empty when it has none. @type {string | null} */
  let failure = null;
  /** @type {PaymentForm | null} */
  let form = null;
  /** @type {string | null} */
  let checkoutUrl = null;
  const tab = openTabLock(`stampede.pay.${orderId}`, () => {
    removeForm();
    change('elsewhere');
    closeWhenFree();
  });

  /** It may have changed while something was awaited. @returns {PayPhase} */
  const phaseNow = () => phase;

  /** @param {PayPhase} next */
  function change(next) {
    phase = next;
    form?.lock(next === 'sending');
    onChange();
  }

  function removeForm() {
    form?.remove();
    form = null;
  }

  function close() {
    removeForm();
    tab.free();
    failure = null;
    if (phase !== 'closed') change('closed');
  }

  async function closeWhenFree() {
    await tab.whenFree();
    if (phase === 'elsewhere') close();
  }

  /** @param {boolean} fromAnother whether the form is taken over from another tab */
  async function open(fromAnother = false) {
    if (phase !== 'closed' && phase !== 'elsewhere' && phase !== 'unreachable') return;
    change('starting');
    if (await tab.take(fromAnother)) return await start();
    change('elsewhere');
    closeWhenFree();
  }

  /** @returns {Promise<void>} */
  async function start() {
    try {
      const started = await asBuyer((token) => startPayment(token, orderId));
      if (phase !== 'starting') return;
      if (isUnderWay(started)) return await wait();
      if (started.state === 'failed') failure = started.failure ?? '';
      form = await formOf(started);
      if (phase !== 'starting') return removeForm();
      change(form ? 'form' : 'checkout');
      if (!form) await waitForCheckout();
    } catch (error) {
      await fail(error);
    }
  }

  /** @param {PaymentStart} started @returns {Promise<PaymentForm | null>} null for the shop's own checkout */
  async function formOf({ provider, clientSecret, publishableKey, redirectUrl }) {
    removeForm();
    if (provider === 'external' || clientSecret === null) {
      checkoutUrl = redirectUrl;
      return null;
    }
    if (provider === 'simulated')
      return (await import('./simulated-form.js')).openSimulatedForm(place, { clientSecret });
    const { openStripeForm } = await import('./stripe-form.js');
    return await openStripeForm(place, { clientSecret, publishableKey: publishableKey ?? '' });
  }

  async function submit() {
    if (phase !== 'form' || !form) return;
    failure = null;
    change('sending');
    const outcome = await form.pay().catch(() => /** @type {const} */ ({ kind: 'unknown' }));
    if (phaseNow() !== 'sending') return;
    if (outcome.kind === 'incomplete') return change('form');
    if (outcome.kind === 'refused') {
      failure = outcome.failure;
      return change('form');
    }
    // What the provider knows of it counts, also when it gave no answer.
    await wait(outcome.kind === 'sent' ? null : NO_ANSWER);
  }

  /**
   * Asks for the payment until it has paid the order, or was refused.
   * @param {string | null} ifUnpaid what is said when the provider knows of no attempt to pay
   * @returns {Promise<void>}
   */
  async function wait(ifUnpaid = null) {
    change('processing');
    while (phase === 'processing') {
      try {
        const started = await asBuyer((token) => startPayment(token, orderId));
        if (phase !== 'processing') return;
        if (!isUnderWay(started)) {
          failure = ifUnpaid;
          change('starting');
          return await start();
        }
      } catch (error) {
        if (!(error instanceof Unreachable || (error instanceof Problem && error.isPassing)))
          return await fail(error);
      }
      if (!(await onMoved())) return;
      await pause();
    }
  }

  /** The shop tells the page by socket; this is for a message that was lost. */
  async function waitForCheckout() {
    while (phase === 'checkout' && (await onMoved())) await pause();
  }

  const pause = () => new Promise((resolve) => setTimeout(resolve, jittered(ASK_EVERY_MS)));

  /** @param {unknown} error */
  async function fail(error) {
    removeForm();
    tab.free();
    if (error instanceof NotSignedIn) return close();
    const isRefused = error instanceof Problem && !error.isPassing;
    if (isRefused && !(await onMoved())) return close();
    change(isRefused ? 'not-here' : 'unreachable');
  }

  return {
    phase: () => phase,
    failure: () => failure,
    checkoutUrl: () => checkoutUrl,
    open,
    submit,
    close,

    /** Waits for a payment that was begun before the page was opened. */
    goOn() {
      if (phase === 'closed') wait();
    },
  };
}
