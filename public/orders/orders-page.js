/** The buyer's orders, newest first. */

/** @import { Order, SaleSnapshot } from '../../sale/contract.ts' */

import { openAccount } from '../account/account.js';
import { asBuyer, currentSession, NotSignedIn, onSessionChange } from '../account/session.js';
import { fetchOrders, fetchSale, fetchSales } from '../shared/api.js';
import { element, part, setText, show } from '../shared/dom.js';
import { dateTime, money, smallPicture } from '../shared/format.js';
import { openLive } from '../shared/live.js';
import { mountShell, tellConnection } from '../shared/shell.js';
import { texts } from '../shared/texts.js';
import { mergeOrders } from './orders.js';

/** @type {Map<string, SaleSnapshot>} */
const sales = new Map();
/** @type {Order[]} */
let orders = [];
/** @type {string | null} */
let cursor = null;

function draw() {
  part('orders').replaceChildren(...orders.map(line));
  show(part('more'), cursor !== null);
  show(part('sign-in'), currentSession() === null);
}

/** @param {Order} order */
function line({ saleId, quantity, status, reason, createdAt }) {
  const sale = sales.get(saleId);
  const name = sale?.product.name ?? texts.unknownSale;
  const picture = sale?.product.image
    ? element('img', {
        src: smallPicture(sale.product.image),
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
      element('p', { class: 'muted' }, `${texts.pieces(quantity)} · ${dateTime(createdAt)}`),
      element('p', { class: 'muted' }, reason ? texts.rejection[reason] : ''),
    ),
    element(
      'div',
      { class: 'order-end' },
      element(
        'span',
        { class: 'chip', 'data-status': status, 'data-testid': 'order-status' },
        texts.orderStatus[status],
      ),
      element('span', { class: 'order-price' }, sale && status === 'paid' ? money(sale.price, quantity) : ''),
    ),
  );
}

/** The list has the sales that end last; of an older one only its own page tells. @param {Order[]} page */
async function learnSalesOf(page) {
  const missing = new Set(page.map(({ saleId }) => saleId).filter((id) => !sales.has(id)));
  await Promise.all(
    [...missing].map(async (id) => {
      try {
        sales.set(id, await fetchSale(id));
      } catch {
        // It is told without its name.
      }
    }),
  );
}

/** @param {string | null} [after] reads on from there */
async function refresh(after = null) {
  let trouble = '';
  try {
    const [known, page] = await Promise.all([fetchSales(), asBuyer((token) => fetchOrders(token, after))]);
    for (const sale of known.sales) sales.set(sale.id, sale);
    await learnSalesOf(page.orders);
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
  setText(part('empty'), trouble);
  show(part('empty'), trouble !== '');
  draw();
}

mountShell();
part('sign-in').addEventListener('click', () => openAccount());
part('more').addEventListener('click', () => refresh(cursor));
onSessionChange(() => {
  orders = [];
  refresh();
});
addEventListener('pageshow', (event) => event.persisted && refresh());

refresh();
openLive({
  onUp() {
    tellConnection(false);
    refresh();
  },
  onDown: () => tellConnection(true),
  onOrder(order) {
    orders = mergeOrders(orders, [order]);
    show(part('empty'), false);
    draw();
  },
});
