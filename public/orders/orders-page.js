/** The buyer's orders, newest first. */

/** @import { Order, SaleSnapshot } from '../../sale/contract.ts' */
/** @import { Line } from '../shared/items.js' */

import { openAccount } from '../account/account.js';
import { asBuyer, currentSession, NotSignedIn, onSessionChange } from '../account/session.js';
import { fetchOrders, fetchSale, fetchSales } from '../shared/api.js';
import { serverNow } from '../shared/clock.js';
import { byId, element, setText, show } from '../shared/dom.js';
import { dateTime, money, smallPicture } from '../shared/format.js';
import { amountOf, linesOf } from '../shared/items.js';
import { openLive } from '../shared/live.js';
import { mountShell, showConnectionLost } from '../shared/shell.js';
import { texts } from '../shared/texts.js';
import { cancellableUntilMs, cancellingOf } from './cancelling.js';
import { mergeOrders } from './merge-orders.js';
import { holdText, lineOf } from './order-view.js';

/** The longest delay that a browser's timer takes. */
const LONGEST_TIMER_MS = 2 ** 31 - 2;

/** @type {Map<string, SaleSnapshot>} */
const sales = new Map();
/** @type {Order[]} */
let orders = [];
/** @type {string | null} */
let cursor = null;

/** @type {ReturnType<typeof setTimeout> | undefined} */
let redrawing;

function draw() {
  byId('orders').replaceChildren(...orders.map(row));
  clearTimeout(redrawing);
  const untils = orders.flatMap(({ saleId }) => cancellableUntilMs(sales.get(saleId)) ?? []);
  const inMs = Math.min(...untils.map((until) => until - serverNow()).filter((ms) => ms > 0));
  if (inMs < LONGEST_TIMER_MS) redrawing = setTimeout(draw, inMs + 1);
  show(byId('more'), cursor !== null);
  show(byId('sign-in'), currentSession() === null);
}

/** @param {Order} order */
function replaceOrder(order) {
  orders = mergeOrders(orders, [order]);
  show(byId('empty'), false);
  draw();
}

/** @param {Order} order */
function row(order) {
  const { saleId, quantity, status, reason, createdAt } = order;
  const sale = sales.get(saleId);
  const lines = linesOf(order, sale ?? null);
  const products = lines.flatMap(({ item }) => item?.product ?? sale?.product ?? []);
  const name = [...new Set(products.map((product) => product.name))].join(', ') || texts.unknownSale;
  const [product] = products;
  const amount = status === 'paid' || status === 'held' ? amountOf(order, lines) : null;
  const picture = product?.image
    ? element('img', {
        src: smallPicture(product.image),
        alt: '',
        width: '96',
        height: '96',
        loading: 'lazy',
      })
    : element('span', { class: 'no-picture' });
  return element(
    'li',
    { class: 'order-line', 'data-status': status },
    element('div', { class: 'order-picture' }, picture),
    element(
      'div',
      {},
      element('a', { href: `/sales/${encodeURIComponent(saleId)}` }, name),
      ...listOf(lines),
      element('p', { class: 'muted' }, `${texts.pieces(quantity)} · ${dateTime(createdAt)}`),
      element('p', { class: 'muted' }, reason ? texts.rejection[reason] : holdText(order)),
      ...cancellingOf(order, sale, replaceOrder),
    ),
    element(
      'div',
      { class: 'order-end' },
      element(
        'span',
        { class: 'chip', 'data-status': status, 'data-testid': 'order-status' },
        texts.orderStatus[status],
      ),
      element('span', { class: 'order-price' }, amount ? money(amount) : ''),
    ),
  );
}

/** The money of a single line is the order's. @param {Line[]} lines */
function listOf(lines) {
  if (lines.every(({ name }) => name === '')) return [];
  const shown = lines.map((line) => lineOf(lines.length > 1 ? line : { ...line, money: null }));
  return [element('ul', { 'data-testid': 'order-lines' }, ...shown)];
}

/** Fetches sales that are missing, because the list has only those that end last. @param {Order[]} page */
async function fetchSalesOf(page) {
  const missing = new Set(page.map(({ saleId }) => saleId).filter((id) => !sales.has(id)));
  await Promise.all(
    [...missing].map(async (id) => {
      try {
        sales.set(id, await fetchSale(id));
      } catch {
        // The order is then shown without the sale's name.
      }
    }),
  );
}

/** @param {string | null} [after] the cursor to continue at */
async function refresh(after = null) {
  let trouble = '';
  try {
    const [known, page] = await Promise.all([fetchSales(), asBuyer((token) => fetchOrders(token, after))]);
    for (const sale of known.sales) sales.set(sale.id, sale);
    await fetchSalesOf(page.orders);
    orders = mergeOrders(orders, page.orders);
    cursor = page.nextCursor;
    if (orders.length === 0) trouble = texts.ordersEmpty;
  } catch (error) {
    if (error instanceof NotSignedIn) {
      orders = [];
      cursor = null;
      trouble = texts.ordersSignIn;
    } else if (orders.length === 0) trouble = texts.loadFailed;
  }
  setText(byId('empty'), trouble);
  show(byId('empty'), trouble !== '');
  draw();
}

mountShell();
byId('sign-in').addEventListener('click', () => openAccount());
byId('more').addEventListener('click', () => refresh(cursor));
onSessionChange(() => {
  orders = [];
  refresh();
});
addEventListener('pageshow', (event) => event.persisted && refresh());

refresh();
openLive({
  onUp() {
    showConnectionLost(false);
    refresh();
  },
  onDown: () => showConnectionLost(true),
  onOrder: replaceOrder,
});
