/** The choice of one of a sale's items, such as a size. A sale with one item has none. */

/** @import { SaleItem } from '../../sale/contract.ts' */
/** @import { SaleView } from './sale-view.js' */

import { byId, element, setText, show } from '../shared/dom.js';
import { money, smallPicture } from '../shared/format.js';
import { hasSeveralProducts, itemName, itemsOf, lowestPrice } from '../shared/items.js';
import { texts } from '../shared/texts.js';

/** Labels up to this length fit in a narrow column. */
const SHORT_LABEL = 9;

/** What is drawn; the options are kept while only their stock changes, so that the keyboard focus stays. */
let drawn = '';

/** @param {SaleView} view */
export function renderPicker({ sale, choice, buy }) {
  const items = itemsOf(sale);
  show(byId('items'), items.length > 1);
  if (items.length < 2) return;
  const isPictured = hasSeveralProducts(sale);
  const isPriced = !lowestPrice(sale).isOnly;
  const now = JSON.stringify(items.map(({ id, label, product, price }) => [id, label, product, price]));
  if (now !== drawn) {
    drawn = now;
    const options = items.map((item) => optionOf(itemName(sale, item), item, { isPictured, isPriced }));
    byId('item-options').replaceChildren(...options);
    const isWide = isPictured || items.some(({ label }) => label.length > SHORT_LABEL);
    byId('item-options').toggleAttribute('data-wide', isWide);
  }
  const isLocked = buy === 'sending' || buy === 'queued' || buy === 'busy' || buy === 'stalled';
  for (const item of items) {
    const input = inputOf(item.id);
    const isChosen = item.id === choice?.id;
    const isOut = item.stock === 0;
    if (input.checked !== isChosen) input.checked = isChosen;
    // The chosen option keeps the keyboard focus, which `disabled` would take from it.
    input.disabled = !isChosen && (isOut || isLocked);
    input.setAttribute('aria-disabled', String(isOut || isLocked));
    input.closest('label')?.toggleAttribute('data-out', isOut);
    setText(byId(`item-${item.id}-left`), isOut ? texts.saleStatus.sold_out : texts.itemLeft(item.stock));
  }
}

/** @param {string} id */
const inputOf = (id) => /** @type {HTMLInputElement} */ (byId(`item-${id}`));

/** The stock is a description and not part of the name, so that a screen reader does not speak each change of it.
 * @param {string} name @param {SaleItem} item @param {{ isPictured: boolean, isPriced: boolean }} shown */
function optionOf(name, { id, product, price }, { isPictured, isPriced }) {
  const part = `item-${id}`;
  const picture = product.image
    ? element('img', { src: smallPicture(product.image), alt: '', width: '44', height: '44' })
    : element('span', { class: 'item-picture' });
  return element(
    'label',
    { class: 'item', 'data-testid': part },
    element('input', {
      id: part,
      type: 'radio',
      name: 'item',
      value: id,
      'aria-labelledby': isPriced ? `${part}-name ${part}-price` : `${part}-name`,
      'aria-describedby': `${part}-left`,
    }),
    ...(isPictured ? [picture] : []),
    element('span', { id: `${part}-name`, class: 'item-name', dir: 'auto' }, name),
    element(
      'span',
      { class: 'item-facts' },
      ...(isPriced ? [element('span', { id: `${part}-price`, class: 'item-price' }, money(price))] : []),
      element('span', { id: `${part}-left` }),
    ),
  );
}

/** Moves the focus to the first item that can be chosen. */
export function focusPicker() {
  /** @type {HTMLInputElement | null} */
  const first = byId('item-options').querySelector('input[aria-disabled=false]');
  first?.focus();
  first?.closest('fieldset')?.scrollIntoView({ block: 'center' });
}
