/** Searches orders by sale, number, buyer's name or e-mail address, newest first, and cancels several at once. */

/** @import { AdminOrder, AdminOrderPage, LiveFigures } from '../../../insight/contract.ts' */
/** @import { OrderStatus, SaleSnapshot } from '../../../sale/contract.ts' */

import { element, setText, show } from '../../shared/dom.js';
import { dateTime, duration } from '../../shared/format.js';
import { texts as storefront } from '../../shared/texts.js';
import { toast } from '../../shared/toast.js';
import { downloadOrders, searchOrders } from '../api.js';
import { action, heading, replaceRows, table } from '../components.js';
import { errorText } from '../http.js';
import { moreSales } from '../sales/more-sales-button.js';
import { texts } from '../texts.js';
import { openCancelForm } from './cancel-form.js';
import { cancelOrders } from './desk-api.js';
import { amountOf, buyerOf, isCancellable, orderLink, outcomeOf, selectBox, unitsOf } from './order-cells.js';

const ALL_SALES = 'all';

/** @param {string} saleId the sale selected at first */
export function openOrdersView(saleId) {
  const { orders: t, words } = texts;
  const text = element('input', { type: 'search', name: 'q', placeholder: t.placeholder });
  const sale = element('select', { name: 'saleId', 'aria-label': words.sale });
  /** @type {OrderStatus[]} */
  const outcomes = ['paid', 'held', 'expired', 'rejected', 'cancelled', 'refunded'];
  const statuses = [['', t.anyOutcome], ...outcomes.map((value) => [value, storefront.orderStatus[value]])];
  const status = element(
    'select',
    { name: 'status', 'aria-label': words.outcome },
    ...statuses.map(([value, label]) => element('option', { value }, label ?? '')),
  );
  const search = element(
    'label',
    { class: 'search' },
    element('span', { class: 'visually-hidden' }, words.search),
    text,
  );
  const form = element('form', { class: 'filters', role: 'search' }, search, sale, status);
  const found = table('orders', t.columns, texts.tabs.orders);
  const note = element('p', { class: 'muted', role: 'status' });
  /** @type {AdminOrder[]} */
  let orders = [];
  /** @type {number | string | null} */
  let cursor = null;
  /** Counts requests, because only the answer of the newest one is shown. */
  let requests = 0;
  /** What the known sales sell, by id. @type {Map<string, string>} */
  let names = new Map();
  /** Ids of the orders that are selected. @type {Set<string>} */
  const selected = new Set();

  /** @param {number | string | null} after */
  async function load(after) {
    const thisRequest = ++requests;
    const query = {
      q: text.value.trim(),
      saleId: sale.value === ALL_SALES ? '' : sale.value,
      status: status.value,
      cursor: String(after ?? ''),
    };
    const given = Object.entries(query).filter(([, value]) => value !== '');
    try {
      const page = await searchOrders(Object.fromEntries(given));
      if (thisRequest !== requests) return;
      orders = after === null ? page.orders : [...orders, ...page.orders];
      cursor = page.nextCursor;
      if (after === null) selected.clear();
      setText(note, noteOn(page));
    } catch (error) {
      setText(note, errorText(error));
    }
    replaceRows(
      found.body,
      orders.map((order) => lineOf(order, names.get(order.saleId), selected, drawButtons)),
    );
    show(more, cursor !== null);
    drawButtons();
  }

  /** @param {AdminOrderPage} page */
  function noteOn({ incomplete }) {
    if (sale.value === ALL_SALES && text.value.trim() === '') return t.howToSearch;
    if (incomplete) return t.tooMany;
    return orders.length === 0 ? t.noOrders : '';
  }

  function drawButtons() {
    cancel.disabled = selected.size === 0;
    setText(cancel, selected.size === 0 ? t.cancelSelected : t.cancelSome(selected.size));
    const isOne = sale.value !== ALL_SALES;
    show(suspects, isOne);
    show(csv, isOne);
    suspects.href = `#suspects/${encodeURIComponent(sale.value)}`;
  }

  const others = moreSales();
  const more = action(words.showMore, () => load(cursor));
  const csv = action(words.downloadCsv, () => downloadOrders(sale.value), { 'data-testid': 'csv' });
  const suspects = element('a', { class: 'small' }, words.lookBeforeShipping);
  const cancel = action(
    t.cancelSelected,
    async () => {
      const answers = await openCancelForm(selected.size, (why) => cancelOrders([...selected], why));
      if (!answers) return;
      const cancelled = answers.filter(({ outcome }) => outcome === 'cancelled').length;
      const others = answers.length - cancelled;
      await load(null);
      toast(others > 0 ? t.cancelledBut(cancelled, others) : t.cancelled(cancelled));
    },
    { class: 'small danger', 'data-testid': 'cancel-selected' },
  );
  cancel.disabled = true;
  more.hidden = true;
  form.addEventListener('submit', (event) => event.preventDefault());
  form.addEventListener('change', () => load(null));
  text.addEventListener('search', () => load(null));

  /** @param {LiveFigures} news */
  function update(news) {
    const sales = others.addTo(news);
    const known = sales.map(({ id }) => id).join();
    if (sale.dataset.known === known) return;
    const chosen = sale.value || saleId || firstOf(sales)?.id || ALL_SALES;
    sale.dataset.known = known;
    names = new Map(sales.map(({ id, product }) => [id, product.name]));
    sale.replaceChildren(
      element('option', { value: ALL_SALES }, t.allSales),
      ...sales.map(({ id, product, opensAt }) =>
        element('option', { value: id }, `${product.name} · ${dateTime(opensAt)}`),
      ),
    );
    sale.value = chosen;
    load(null);
  }
  return {
    root: element(
      'div',
      {},
      heading(texts.tabs.orders, cancel, suspects, csv),
      form,
      others.root,
      found.root,
      note,
      more,
    ),
    update,
  };
}

/** The sale whose orders are shown first: one that has sold something, if there is one, and an open one rather than others. @param {SaleSnapshot[]} sales */
function firstOf(sales) {
  const sold = sales.filter(({ stock, unitsOnSale }) => stock < unitsOnSale);
  const among = sold.length > 0 ? sold : sales;
  return among.find(({ status }) => status === 'open') ?? among[0];
}

/** @param {AdminOrder} order @param {string | undefined} saleName @param {Set<string>} selected @param {() => void} onSelect */
function lineOf(order, saleName, selected, onSelect) {
  const { createdAt, settledAt } = order;
  const took = settledAt ? duration(Date.parse(settledAt) - Date.parse(createdAt)) : '–';
  return [
    isCancellable(order) ? selectBox(order, selected, onSelect) : '',
    orderLink(order),
    element('a', { href: `#sale/${encodeURIComponent(order.saleId)}` }, saleName ?? texts.orders.olderSale),
    outcomeOf(order),
    unitsOf(order),
    amountOf(order),
    buyerOf(order),
    dateTime(createdAt),
    took,
  ];
}
