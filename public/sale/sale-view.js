/** Renders the sale page. It writes only what changed and decides nothing. */

/** @import { SaleAccess, SaleItem, SaleSnapshot, SaleStatus } from '../../sale/contract.ts' */
/** @import { BuyState } from './buy-state.js' */
/** @import { RecentEvent } from './recent-events.js' */
/** @import { OrderCard } from '../orders/order-view.js' */

import { renderOrder } from '../orders/order-view.js';
import { byId, setText, show } from '../shared/dom.js';
import { countdown, dateTime, moment, money, number, percent, shortCountdown } from '../shared/format.js';
import { itemName, itemsOf, lowestPrice, saleName } from '../shared/items.js';
import { texts } from '../shared/texts.js';
import { renderGallery } from './gallery.js';
import { renderOpeningHere } from './opening-here.js';
import { inWords } from './recent-events.js';

/**
 * @typedef {object} SaleView
 * @property {SaleSnapshot} sale with the stock to show
 * @property {SaleItem | null} choice the chosen item
 * @property {number} now
 * @property {SaleStatus} status
 * @property {BuyState} buy
 * @property {number} quantity
 * @property {number} mostQuantity
 * @property {number} remaining units that the buyer may still buy
 * @property {boolean} isSignedIn
 * @property {boolean} isVerified whether the buyer has confirmed the address, as far as this page knows
 * @property {SaleAccess | null} access when a sale with phases opens for the buyer; null while it is not known
 * @property {OrderCard | null} orderCard
 * @property {string | null} heldUntil when the time to pay the newest order ends; null when it is not held
 * @property {string} note replaces the default note of the button
 * @property {number | null} people how many watch the sale; null when unknown
 * @property {RecentEvent | undefined} latestEvent
 */

/** @type {Record<BuyState, { label: string, note: string }>} */
const buttons = {
  soon: { label: texts.buySoon, note: texts.noteSoon },
  'sign-in': { label: texts.buySignIn, note: '' },
  choose: { label: texts.buyChoose, note: '' },
  'choose-another': { label: texts.buyChooseAnother, note: '' },
  'not-yet': { label: texts.buyNotYet, note: '' },
  buy: { label: '', note: '' },
  sending: { label: texts.buySending, note: '' },
  queued: { label: texts.buyQueued, note: '' },
  busy: { label: texts.buyBusy, note: texts.noteBusy },
  stalled: { label: texts.buyStalled, note: texts.noteStalled },
  held: { label: texts.pay.now, note: '' },
  paid: { label: texts.buyPaid, note: '' },
  'sold-out': { label: texts.buySoldOut, note: texts.noteSoldOut },
  'over-limit': { label: texts.buyOverLimit, note: '' },
  paused: { label: texts.buyPaused, note: texts.notePaused },
  ended: { label: texts.buyEnded, note: texts.noteEnded },
  'called-off': { label: texts.buyCalledOff, note: texts.noteCalledOff },
  offline: { label: texts.buyOffline, note: texts.noteOffline },
};

/** The states in which pressing the button does something. @type {ReadonlySet<BuyState>} */
export const pressable = new Set(['sign-in', 'choose', 'choose-another', 'buy', 'held', 'stalled']);

/** The states without a choice of quantity. @type {ReadonlySet<BuyState>} */
const withoutQuantity = new Set(['held', 'paid', 'sold-out', 'over-limit', 'ended', 'called-off']);

/** @type {typeof import('./item-picker.js') | null} */
let picker = null;

/** Loads the picker of items, which a sale with one item does not need. @param {SaleSnapshot} sale */
export async function loadPicker(sale) {
  if (picker === null && itemsOf(sale).length > 1) picker = await import('./item-picker.js');
}

/** Moves the focus to the first item that can be chosen. */
export const focusPicker = () => picker?.focusPicker();

/** @param {SaleView} view */
export function renderSale(view) {
  renderProduct(view);
  renderMoment(view);
  renderStock(view.sale);
  picker?.renderPicker(view);
  setText(byId('people'), view.people ? texts.people(view.people) : '');
  setText(byId('recent-event'), view.latestEvent ? inWords(view.latestEvent) : '');
  renderBuy(view);
  show(byId('preview'), view.sale.status === 'draft');
  if (view.orderCard) renderOrder(view.orderCard);
  show(byId('order'), view.orderCard !== null);
}

/** @param {SaleView} view */
function renderProduct({ sale, choice }) {
  const { product } = sale;
  byId('main').toggleAttribute('data-site', sale.site !== undefined);
  document.title = `${product.name} · ${texts.brand}`;
  setText(byId('name'), saleName(sale));
  setText(byId('description'), product.description);
  const lowest = lowestPrice(sale);
  const { price, oldPrice } = choice ?? {
    price: lowest.price,
    oldPrice: lowest.isOnly ? sale.oldPrice : null,
  };
  setText(byId('price'), choice || lowest.isOnly ? money(price) : texts.from(money(price)));
  show(byId('old-price'), oldPrice !== null);
  if (oldPrice) {
    setText(byId('old-amount'), money(oldPrice));
    setText(byId('saving'), percent(price.amount / oldPrice.amount - 1));
  }
  const pictured = choice && choice.product.id !== product.id ? choice.product : product;
  renderGallery({ images: [pictured.image], ...pictured });
}

/** @param {SaleView} view */
function renderMoment({ sale, status, now }) {
  const chip = byId('status');
  setText(chip, texts.saleStatus[status]);
  byId('main').dataset.status = status;
  const isOver = status === 'ended' || status === 'called_off';
  const isSoon = now < Date.parse(sale.opensAt) && !isOver;
  const overLabel = status === 'ended' ? texts.endedAt : texts.saleStatus.called_off;
  setText(byId('countdown-label'), isSoon ? texts.opensIn : isOver ? overLabel : texts.endsIn);
  const target = Date.parse(isSoon ? sale.opensAt : sale.closesAt);
  setText(byId('countdown'), isOver ? dateTime(Math.min(target, now)) : countdown(target - now));
  show(byId('when'), isSoon);
  if (isSoon) renderOpening(sale);
  show(byId('others'), (isOver || status === 'sold_out') && byId('others').querySelector('li') !== null);
}

/** When the sale opens, in the shop's time and in the reader's. @param {SaleSnapshot} sale */
function renderOpening({ id, opensAt }) {
  setText(byId('opening'), moment(opensAt));
  const { dataset } = byId('opening-here');
  if (dataset.at !== opensAt) {
    Object.assign(dataset, { at: opensAt, sentence: texts.openingHere('{}') });
    renderOpeningHere();
  }
  byId('calendar').setAttribute('href', `/sales/${encodeURIComponent(id)}/calendar.ics`);
}

/** @param {SaleSnapshot} sale */
function renderStock({ stock, unitsOnSale }) {
  setText(byId('stock'), number(stock));
  setText(byId('units'), texts.unitsOf(number(unitsOnSale)));
  const share = unitsOnSale > 0 ? stock / unitsOnSale : 0;
  const bar = byId('stock-bar');
  bar.style.setProperty('--left', share.toFixed(4));
  bar.toggleAttribute('data-low', share <= 0.2);
}

/** The states in which a buyer whose address is not confirmed has to know that it must be. @type {ReadonlySet<BuyState>} */
const beforeBuying = new Set(['soon', 'sign-in', 'choose', 'buy']);

/** @param {SaleView} view */
const needsVerifying = ({ sale, buy, isVerified }) =>
  sale.requiresVerifiedEmail === true && !isVerified && beforeBuying.has(buy);

/** @param {SaleView} view */
function noteOf(view) {
  const { sale, choice, buy, remaining, heldUntil, now } = view;
  if (needsVerifying(view)) return view.isSignedIn ? texts.noteVerify : texts.noteVerifiedOnly;
  if (buy === 'held' && heldUntil) return texts.heldFor(shortCountdown(Date.parse(heldUntil) - now));
  if (buy === 'not-yet' && view.access?.opensAt)
    return texts.access.opensForYou(dateTime(view.access.opensAt));
  const name = choice ? itemName(sale, choice) : '';
  if (buy === 'choose-another') return texts.choiceSoldOut(name, namesLeft(sale));
  const { limitPerBuyer } = sale;
  const isLimitOfItem = choice?.limitPerBuyer && choice.limitPerBuyer < limitPerBuyer;
  if (buy === 'over-limit' && remaining > 0 && choice)
    return texts.limitNoteOf(choice.limitPerBuyer ?? 1, name);
  if (buy === 'over-limit' || (buy === 'paid' && remaining === 0)) return texts.noteOverLimit(limitPerBuyer);
  if (buttons[buy].note) return buttons[buy].note;
  if (isLimitOfItem) return texts.limitNoteOf(choice.limitPerBuyer ?? 1, name);
  return limitPerBuyer > 1 ? texts.limitNote(limitPerBuyer) : '';
}

/** Longer lists of names would not fit in the lines that the note reserves. */
const MAX_NAMES_LENGTH = 32;

/** The items that are left, by name; empty when the names are too long. @param {SaleSnapshot} sale */
function namesLeft(sale) {
  const left = itemsOf(sale).filter(({ stock }) => stock > 0);
  const names = left.map((item) => itemName(sale, item)).join(', ');
  return names.length <= MAX_NAMES_LENGTH ? names : '';
}

/** @param {SaleView} view */
function renderBuy(view) {
  const { sale, choice, buy, quantity, mostQuantity, remaining, isSignedIn, note, status } = view;
  const button = byId('buy');
  button.dataset.state = buy;
  // `disabled` would lose the keyboard focus at each change of state.
  button.setAttribute('aria-disabled', String(!pressable.has(buy)));
  setText(
    byId('buy-label'),
    buy === 'buy' ? texts.buy(quantity, money(choice?.price ?? sale.price, quantity)) : buttons[buy].label,
  );

  setText(byId('buy-note'), note || noteOf(view));

  const input = /** @type {HTMLInputElement} */ (byId('quantity'));
  const isChoosing =
    buy === 'buy' || buy === 'choose' || buy === 'sign-in' || buy === 'soon' || buy === 'not-yet';
  // An empty focused input means that the buyer is typing a new number.
  const isTyping = input.value === '' && document.activeElement === input;
  if (Number(input.value) !== quantity && !isTyping) input.value = String(quantity);
  input.max = String(mostQuantity);
  input.disabled = !isChoosing;
  byId('fewer').toggleAttribute('disabled', !isChoosing || quantity <= 1);
  byId('more').toggleAttribute('disabled', !isChoosing || quantity >= mostQuantity);
  const stepper = byId('stepper');
  // Once shown it stays, so that the button does not move when an answer or a sell-out comes.
  const hasStepper = !stepper.hidden || !withoutQuantity.has(buy);
  show(stepper, sale.limitPerBuyer > 1 && hasStepper);

  const more =
    (buy === 'paid' || buy === 'held') && remaining > 0 && status === 'open' ? texts.buyMore(remaining) : '';
  const early = buy === 'soon' && !isSignedIn ? texts.signInEarly : '';
  const verify = isSignedIn && needsVerifying(view) ? texts.verifyFirst : '';
  const second = byId('second');
  setText(second, more || early || verify || (buy === 'stalled' ? texts.forget : ''));
  second.dataset.action = more ? 'more' : early ? 'sign-in' : verify ? 'verify' : 'forget';
  // Until this script has come a press would be lost.
  second.removeAttribute('disabled');
  show(second, second.textContent !== '');
}
