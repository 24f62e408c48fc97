/** The form that creates a sale. */

/** @import { Product, SaleSnapshot } from '../../../sale/contract.ts' */

import { serverNow } from '../../shared/clock.js';
import { element, setText } from '../../shared/dom.js';
import { money } from '../../shared/format.js';
import { InputError, parseAmount, parseCurrency, parseWhole } from '../../shared/money.js';
import { createSale } from '../api.js';
import { field, openForm, readField, row } from '../form.js';
import { instantOf, localText } from '../local-time.js';

const HOUR_MS = 3_600_000;

/** @param {Product[]} products @returns {Promise<SaleSnapshot | null>} */
export function openSaleForm(products) {
  if (products.length === 0) throw new Error('Create a product first');
  const choices = products.map(({ id, name }) => element('option', { value: id }, name));
  const amount = { inputmode: 'decimal', autocomplete: 'off' };
  // Not `type="number"`, because its reading of `1,500` depends on the browser's language.
  const whole = { inputmode: 'numeric', autocomplete: 'off', required: true };
  const moment = { type: 'datetime-local', step: '1', required: true, max: '9999-12-31T23:59:59' };
  const zone = `in ${Intl.DateTimeFormat().resolvedOptions().timeZone}`;
  const price = field('Price', 'price', { ...amount, required: true, placeholder: '149.00' });
  const currency = field('Currency', 'currency', { value: 'EUR', required: true, maxlength: '3' });
  const parsedPrice = element('p', { class: 'hint', role: 'status', 'data-testid': 'parsed-price' });
  for (const line of [price, currency]) {
    line.addEventListener('input', () => setText(parsedPrice, priceIn(price, currency)));
  }
  return openForm(
    'New sale',
    [
      element('label', {}, 'Product', element('select', { name: 'productId' }, ...choices)),
      row(price, field('Old price', 'oldAmount', { ...amount, placeholder: 'optional' }), currency),
      parsedPrice,
      row(
        field('Units', 'stock', { ...whole, value: '100' }),
        field('Limit for each buyer', 'limitPerBuyer', { ...whole, value: '1' }),
      ),
      row(
        field('Opens', 'opensAt', { ...moment, value: localText(serverNow()) }, zone),
        field('Ends', 'closesAt', { ...moment, value: localText(serverNow() + 24 * HOUR_MS) }, zone),
      ),
    ],
    (values) => createSale(saleOf(values)),
  );
}

/** Shows how the typed price is parsed. @param {HTMLElement} price @param {HTMLElement} currency */
function priceIn(price, currency) {
  const [text = '', code = ''] = [price, currency].map((line) => line.querySelector('input')?.value ?? '');
  try {
    return text === '' ? '' : money({ amount: parseAmount(text, code.trim()), currency: code.trim() });
  } catch (error) {
    return error instanceof InputError ? error.message : '';
  }
}

/** @param {FormData} values */
function saleOf(values) {
  const currency = readField(values, 'currency', 'Currency', parseCurrency);
  const amount = (/** @type {string} */ text) => parseAmount(text, currency);
  const old = String(values.get('oldAmount') ?? '').trim();
  return {
    productId: String(values.get('productId')),
    price: { amount: readField(values, 'price', 'Price', amount), currency },
    ...(old === '' ? {} : { oldAmount: readField(values, 'oldAmount', 'Old price', amount) }),
    stock: readField(values, 'stock', 'Units', parseWhole),
    limitPerBuyer: readField(values, 'limitPerBuyer', 'Limit for each buyer', parseWhole),
    opensAt: readField(values, 'opensAt', 'Opens', instantOf),
    closesAt: readField(values, 'closesAt', 'Ends', instantOf),
  };
}
