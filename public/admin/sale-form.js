/** Making and scheduling a sale. */

/** @import { Product, SaleSnapshot } from '../../sale/contract.ts' */

import { serverNow } from '../clock.js';
import { element } from '../dom.js';
import { minorUnits } from '../format.js';
import { createSale } from './api.js';
import { field, openForm, row } from './form.js';

const HOUR_MS = 3_600_000;

/** @param {Product[]} products @returns {Promise<SaleSnapshot | null>} */
export function openSaleForm(products) {
  if (products.length === 0) throw new Error('Make a product first');
  const choices = products.map(({ id, name }) => element('option', { value: id }, name));
  const money = { inputmode: 'decimal', pattern: '[0-9]+([.,][0-9]{1,3})?', autocomplete: 'off' };
  const whole = { type: 'number', min: '1', step: '1', required: true };
  const moment = { type: 'datetime-local', step: '1', required: true };
  return openForm(
    'New sale',
    [
      element('label', {}, 'Product', element('select', { name: 'productId' }, ...choices)),
      row(
        field('Price', 'price', { ...money, required: true, placeholder: '149.00' }),
        field('Old price', 'oldAmount', { ...money, placeholder: 'optional' }),
        field('Currency', 'currency', { value: 'EUR', pattern: '[A-Z]{3}', required: true, maxlength: '3' }),
      ),
      row(
        field('Units', 'stock', { ...whole, value: '100' }),
        field('Limit for each buyer', 'limitPerBuyer', { ...whole, value: '1' }),
      ),
      row(
        field('Opens', 'opensAt', { ...moment, value: local(serverNow()) }),
        field('Ends', 'closesAt', { ...moment, value: local(serverNow() + 24 * HOUR_MS) }),
      ),
    ],
    (values) => createSale(saleOf(values)),
  );
}

/** @param {FormData} values */
function saleOf(values) {
  const text = (/** @type {string} */ name) => String(values.get(name) ?? '').trim();
  const currency = text('currency');
  const old = text('oldAmount');
  return {
    productId: text('productId'),
    price: { amount: minorUnits(text('price'), currency), currency },
    ...(old === '' ? {} : { oldAmount: minorUnits(old, currency) }),
    stock: Number(text('stock')),
    limitPerBuyer: Number(text('limitPerBuyer')),
    opensAt: new Date(text('opensAt')).toISOString(),
    closesAt: new Date(text('closesAt')).toISOString(),
  };
}

/** As an input of this kind wants it: local time without a zone. @param {number} at */
function local(at) {
  const shifted = new Date(at - new Date(at).getTimezoneOffset() * 60_000);
  return shifted.toISOString().slice(0, 19);
}
