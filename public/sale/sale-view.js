/** Draws the sale page from what it knows. Draws only what changed; decides nothing. */

/** @import { Order, SaleSnapshot, SaleStatus } from '../../sale/contract.ts' */
/** @import { BuyState } from './buy-state.js' */
/** @import { Happening } from './happenings.js' */
/** @import { OrderStory } from '../orders/order-view.js' */

import { renderOrder } from '../orders/order-view.js';
import { part, setText, show } from '../shared/dom.js';
import { countdown, dateTime, money, number, percent } from '../shared/format.js';
import { texts } from '../shared/texts.js';
import { renderGallery } from './gallery.js';
import { inWords } from './happenings.js';

/**
 * @typedef {object} SaleView
 * @property {SaleSnapshot} sale
 * @property {number} now
 * @property {SaleStatus} status
 * @property {BuyState} buy
 * @property {number} quantity
 * @property {number} mostQuantity
 * @property {number} remaining units this buyer may still ask for
 * @property {boolean} isSignedIn
 * @property {OrderStory | null} story
 * @property {string} note overrides the button's own note
 * @property {number | null} people how many are here; null when it is not known
 * @property {Happening | undefined} happening the newest
 */

/** @type {Record<BuyState, { label: string, note: string }>} */
const buttons = {
  soon: { label: texts.buySoon, note: texts.noteSoon },
  'sign-in': { label: texts.buySignIn, note: '' },
  buy: { label: '', note: '' },
  sending: { label: texts.buySending, note: '' },
  queued: { label: texts.buyQueued, note: '' },
  busy: { label: texts.buyBusy, note: texts.noteBusy },
  stalled: { label: texts.buyStalled, note: texts.noteStalled },
  paid: { label: texts.buyPaid, note: '' },
  'sold-out': { label: texts.buySoldOut, note: texts.noteSoldOut },
  'over-limit': { label: texts.buyOverLimit, note: '' },
  paused: { label: texts.buyPaused, note: texts.notePaused },
  ended: { label: texts.buyEnded, note: texts.noteEnded },
  offline: { label: texts.buyOffline, note: texts.noteOffline },
};

/** The states in which pressing the button does something. @type {ReadonlySet<BuyState>} */
export const pressable = new Set(['sign-in', 'buy', 'stalled']);

/** The states in which a quantity would mean nothing. @type {ReadonlySet<BuyState>} */
const choiceless = new Set(['paid', 'sold-out', 'over-limit', 'ended']);

/** @param {SaleView} view */
export function renderSale(view) {
  renderProduct(view.sale);
  renderMoment(view);
  renderStock(view.sale);
  setText(part('people'), view.people ? texts.people(view.people) : '');
  setText(part('happening'), view.happening ? inWords(view.happening) : '');
  renderBuy(view);
  if (view.story) renderOrder(view.story);
  show(part('order'), view.story !== null);
}

/** @param {SaleSnapshot} sale */
function renderProduct({ product, price, oldPrice }) {
  document.title = `${product.name} · ${texts.brand}`;
  setText(part('name'), product.name);
  setText(part('description'), product.description);
  setText(part('price'), money(price));
  show(part('old-price'), oldPrice !== null);
  if (oldPrice) {
    setText(part('old-amount'), money(oldPrice));
    setText(part('saving'), percent(price.amount / oldPrice.amount - 1));
  }
  renderGallery(product);
}

/** @param {SaleView} view */
function renderMoment({ sale, status, now }) {
  const chip = part('status');
  setText(chip, texts.saleStatus[status]);
  part('main').dataset.status = status;
  const isSoon = now < Date.parse(sale.opensAt) && status !== 'ended';
  setText(
    part('countdown-label'),
    isSoon ? texts.opensIn : status === 'ended' ? texts.endedAt : texts.endsIn,
  );
  const target = Date.parse(isSoon ? sale.opensAt : sale.closesAt);
  setText(part('countdown'), status === 'ended' ? dateTime(Math.min(target, now)) : countdown(target - now));
}

/** @param {SaleSnapshot} sale */
function renderStock({ stock, unitsOnSale }) {
  setText(part('stock'), number(stock));
  setText(part('units'), texts.unitsOf(number(unitsOnSale)));
  const share = unitsOnSale > 0 ? stock / unitsOnSale : 0;
  const bar = part('stock-bar');
  bar.style.setProperty('--left', share.toFixed(4));
  bar.toggleAttribute('data-low', share <= 0.2);
}

/** @param {SaleView} view */
function renderBuy({ sale, buy, quantity, mostQuantity, remaining, isSignedIn, note, status }) {
  const button = part('buy');
  button.dataset.state = buy;
  // Not `disabled`: that would throw the keyboard's focus away each time the state changes.
  button.setAttribute('aria-disabled', String(!pressable.has(buy)));
  setText(
    part('buy-label'),
    buy === 'buy' ? texts.buy(quantity, money(sale.price, quantity)) : buttons[buy].label,
  );

  const limitNote = buy === 'over-limit' || (buy === 'paid' && remaining === 0);
  const ownNote = limitNote
    ? texts.noteOverLimit(sale.limitPerBuyer)
    : buttons[buy].note || (sale.limitPerBuyer > 1 ? texts.limitNote(sale.limitPerBuyer) : '');
  setText(part('buy-note'), note || ownNote);

  const input = /** @type {HTMLInputElement} */ (part('quantity'));
  const isChoosing = buy === 'buy' || buy === 'sign-in' || buy === 'soon';
  // Empty under the cursor: a new number is just being typed.
  const isTyping = input.value === '' && document.activeElement === input;
  if (Number(input.value) !== quantity && !isTyping) input.value = String(quantity);
  input.max = String(mostQuantity);
  input.disabled = !isChoosing;
  part('fewer').toggleAttribute('disabled', !isChoosing || quantity <= 1);
  part('more').toggleAttribute('disabled', !isChoosing || quantity >= mostQuantity);
  show(part('stepper'), sale.limitPerBuyer > 1 && !choiceless.has(buy));

  const more = buy === 'paid' && remaining > 0 && status === 'open' ? texts.buyMore(remaining) : '';
  const early = buy === 'soon' && !isSignedIn ? texts.signInEarly : '';
  const second = part('second');
  setText(second, more || early || (buy === 'stalled' ? texts.forget : ''));
  second.dataset.action = more ? 'more' : early ? 'sign-in' : 'forget';
  show(second, second.textContent !== '');
}
