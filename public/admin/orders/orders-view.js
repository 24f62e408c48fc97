/** Searches orders by sale, order id, buyer id or e-mail address, newest first. */

/** @import { AdminOrder, LiveFigures } from '../../../insight/contract.ts' */
/** @import { OrderStatus } from '../../../sale/contract.ts' */

import { element, setText, show } from '../../shared/dom.js';
import { dateTime, duration, number } from '../../shared/format.js';
import { texts } from '../../shared/texts.js';
import { downloadOrders, searchOrders } from '../api.js';
import { action, heading, replaceRows, table } from '../components.js';
import { errorText } from '../http.js';
import { olderSales } from '../sales/older-sales-button.js';

/** @param {string} saleId the sale selected at first */
export function openOrdersView(saleId) {
  const text = element('input', { type: 'search', name: 'q', placeholder: 'Order id, buyer id or e-mail' });
  const sale = element('select', { name: 'saleId', 'aria-label': 'Sale' });
  /** @type {OrderStatus[]} */
  const outcomes = ['paid', 'rejected', 'cancelled'];
  const statuses = [['', 'Any outcome'], ...outcomes.map((value) => [value, value])];
  const status = element(
    'select',
    { name: 'status', 'aria-label': 'Outcome' },
    ...statuses.map(([value, label]) => element('option', { value }, label ?? '')),
  );
  const search = element(
    'label',
    { class: 'search' },
    element('span', { class: 'visually-hidden' }, 'Search'),
    text,
  );
  const form = element('form', { class: 'filters', role: 'search' }, search, sale, status);
  const found = table('orders', ['Order', 'Outcome', 'Units', 'Buyer', 'Accepted', 'Settled in']);
  const note = element('p', { class: 'muted', role: 'status' });
  /** @type {AdminOrder[]} */
  let orders = [];
  /** @type {number | string | null} */
  let cursor = null;
  /** Counts requests, because only the answer of the newest one is shown. */
  let requests = 0;

  /** @param {number | string | null} after */
  async function load(after) {
    const thisRequest = ++requests;
    const query = {
      q: text.value.trim(),
      saleId: sale.value,
      status: status.value,
      cursor: String(after ?? ''),
    };
    const given = Object.entries(query).filter(([, value]) => value !== '');
    try {
      const page = await searchOrders(Object.fromEntries(given));
      if (thisRequest !== requests) return;
      orders = after === null ? page.orders : [...orders, ...page.orders];
      cursor = page.nextCursor;
      setText(note, orders.length === 0 ? 'No orders.' : '');
    } catch (error) {
      setText(note, errorText(error));
    }
    replaceRows(found.body, orders.map(lineOf));
    show(more, cursor !== null);
  }

  const older = olderSales();
  const more = action('Show more', () => load(cursor));
  const csv = action('Download CSV', () => downloadOrders(sale.value), { 'data-testid': 'csv' });
  more.hidden = true;
  form.addEventListener('submit', (event) => event.preventDefault());
  form.addEventListener('change', () => load(null));
  text.addEventListener('search', () => load(null));

  /** @param {LiveFigures} news */
  function update(news) {
    const sales = older.addTo(news);
    const known = sales.map(({ id }) => id).join();
    if (sale.dataset.known === known) return;
    const open = sales.find(({ status }) => status === 'open') ?? sales[0];
    const chosen = sale.value || saleId || open?.id || '';
    sale.dataset.known = known;
    sale.replaceChildren(
      ...sales.map(({ id, product, opensAt }) =>
        element('option', { value: id }, `${product.name} · ${dateTime(opensAt)}`),
      ),
    );
    sale.value = chosen;
    load(null);
  }
  return {
    root: element('div', {}, heading('Orders', csv), form, older.root, found.root, note, more),
    update,
  };
}

/** @param {AdminOrder} order */
function lineOf({ id, status, reason, quantity, email, name, buyerId, createdAt, settledAt }) {
  const took = settledAt ? duration(Date.parse(settledAt) - Date.parse(createdAt)) : '–';
  const chip = element('span', { class: 'chip', 'data-status': status }, texts.orderStatus[status]);
  const why = reason ? element('span', { class: 'muted', title: texts.rejection[reason] }, reason) : '';
  return [
    element('code', {}, id),
    element('span', { class: 'outcome' }, chip, why),
    number(quantity),
    element('span', { title: buyerId }, email ?? name ?? buyerId),
    dateTime(createdAt),
    took,
  ];
}
