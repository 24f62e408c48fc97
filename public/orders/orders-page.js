/** The buyer's orders, newest first. */

/** @import { Order, OrderStatus, SaleSnapshot } from '../../sale/contract.ts' */
/** @import { PendingPurchase } from '../sale/pending.js' */
/** @import { Line } from '../shared/items.js' */

import { openAccount } from '../account/account.js';
import { asBuyer, currentSession, NotSignedIn, onSessionChange } from '../account/session.js';
import { listPending, onPendingChange } from '../sale/pending.js';
import { fetchOrder, fetchOrders, fetchSale, fetchSales, Problem } from '../shared/api.js';
import { jittered, serverNow, untilNextSecond } from '../shared/clock.js';
import { byId, element, setText, show } from '../shared/dom.js';
import { dateTime, money, shortCountdown, smallPicture } from '../shared/format.js';
import { addressOfOrder, amountOf, linesOf, shortNumberOf } from '../shared/items.js';
import { openLive } from '../shared/live.js';
import { openRetry } from '../shared/retry.js';
import { mountShell, showConnectionLost } from '../shared/shell.js';
import { texts } from '../shared/texts.js';
import { toast } from '../shared/toast.js';
import { cancellableUntilMs, cancellingOf } from './cancelling.js';
import { mergeOrders } from './merge-orders.js';
import { lineOf, noteOf } from './order-view.js';

/** The longest delay that a browser's timer takes. */
const LONGEST_TIMER_MS = 2 ** 31 - 2;
const POLL_WHILE_QUEUED_MS = 3_000;

/** @type {Map<string, SaleSnapshot>} */
const sales = new Map();
/** Sales that the shop no longer has. @type {Set<string>} */
const goneSales = new Set();
/** @type {Order[]} */
let orders = [];
/** Purchases of this browser that the shop has not answered yet. @type {PendingPurchase[]} */
let unanswered = [];
/** @type {string | null} */
let cursor = null;

/** @type {ReturnType<typeof setTimeout> | undefined} */
let redrawing;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let poll;
const retry = openRetry(() => refresh());

function draw() {
  clearTimeout(redrawing);
  const list = byId('orders');
  const drawn = [...unanswered.map(unansweredRow), ...orders.map(row)];
  drawn.forEach((node, at) => {
    const before = list.children[at];
    // A row keeps the keyboard focus while nothing about it changes.
    if (!before) list.append(node);
    else if (!node.isEqualNode(before)) before.replaceWith(node);
  });
  while (list.children.length > drawn.length) list.lastElementChild?.remove();
  const untils = orders.flatMap(({ saleId }) => cancellableUntilMs(sales.get(saleId)) ?? []);
  const seconds = orders.flatMap(({ status, holdExpiresAt }) =>
    status === 'held' && holdExpiresAt ? untilNextSecond(holdExpiresAt) : [],
  );
  const inMs = Math.min(...untils.map((until) => until + 1 - serverNow()).filter((ms) => ms > 0), ...seconds);
  if (inMs < LONGEST_TIMER_MS) redrawing = setTimeout(draw, inMs);
  show(byId('more'), cursor !== null);
  show(byId('sign-in'), currentSession() === null);
  if (drawn.length > 0) show(byId('empty'), false);
}

/** @param {Order} order */
function replaceOrder(order) {
  orders = mergeOrders(orders, [order]);
  draw();
}

/** @param {Order} order */
function row(order) {
  const { id, saleId, quantity, status, createdAt } = order;
  const sale = sales.get(saleId);
  const lines = linesOf(order, sale ?? null);
  const isHeld = status === 'held';
  const amount = status === 'paid' || isHeld ? amountOf(order, lines) : null;
  const leftMs = Date.parse(order.holdExpiresAt ?? '') - serverNow();
  const clock = element('p', { class: 'hold' }, texts.heldFor(shortCountdown(leftMs)));
  const pay = element('a', { class: 'pay-link', href: `${addressOfOrder(id)}#pay` }, texts.pay.now);
  return rowOf({
    status,
    lines,
    sale,
    unnamed: goneSales.has(saleId) ? texts.unknownSale : texts.orderNumberLong(shortNumberOf(id)),
    href: addressOfOrder(id),
    details: [
      ...listOf(lines),
      element('p', { class: 'muted' }, `${texts.pieces(quantity)} · ${dateTime(createdAt)}`),
      ...(isHeld && leftMs > 0 ? [clock, pay] : []),
      element('p', { class: 'muted' }, status === 'paid' || isHeld ? '' : noteOf(order)),
      ...cancellingOf(order, sale, replaceOrder),
    ],
    price: amount ? money(amount) : '',
  });
}

/** @param {PendingPurchase} purchase */
function unansweredRow(purchase) {
  const { saleId, quantity, sentAt } = purchase;
  const sale = sales.get(saleId);
  return rowOf({
    status: 'sending',
    lines: linesOf(purchase, sale ?? null),
    sale,
    unnamed: goneSales.has(saleId) ? texts.unknownSale : texts.orderTitle,
    href: `/sales/${encodeURIComponent(saleId)}`,
    details: [
      element('p', { class: 'muted' }, `${texts.pieces(quantity)} · ${dateTime(sentAt)}`),
      element('p', { class: 'muted' }, texts.unanswered),
    ],
    price: '',
  });
}

/**
 * @param {{ status: OrderStatus | 'sending', lines: Line[], sale: SaleSnapshot | undefined, unnamed: string, href: string,
 *   details: Node[], price: string }} shown `unnamed` is its name while that of its sale is not known
 */
function rowOf({ status, lines, sale, unnamed, href, details, price }) {
  const products = lines.flatMap(({ item }) => item?.product ?? sale?.product ?? []);
  const name = [...new Set(products.map((product) => product.name))].join(', ') || unnamed;
  const image = products[0]?.image;
  const size = { width: '96', height: '96', loading: 'lazy' };
  const picture = image
    ? element('img', { src: smallPicture(image), alt: '', ...size })
    : element('span', { class: 'no-picture' });
  const chip = { class: 'chip', 'data-status': status, 'data-testid': 'order-status' };
  return element(
    'li',
    { class: 'order-line', 'data-status': status },
    element('div', { class: 'order-picture' }, picture),
    element('div', {}, element('a', { href, dir: 'auto' }, name), ...details),
    element(
      'div',
      { class: 'order-end' },
      element('span', chip, texts.orderStatus[status]),
      element('span', { class: 'order-price' }, price),
    ),
  );
}

/** The money of a single line is the order's. @param {Line[]} lines */
function listOf(lines) {
  if (lines.every(({ name }) => name === '')) return [];
  const shown = lines.map((line) => lineOf(lines.length > 1 ? line : { ...line, money: null }));
  return [element('ul', { 'data-testid': 'order-lines' }, ...shown)];
}

/**
 * Fetches sales that are missing, because the list has only those that end last.
 * @param {{ saleId: string }[]} page @returns {Promise<boolean>} whether each is known, or known to be gone
 */
async function fetchSalesOf(page) {
  const isUnknown = (/** @type {string} */ id) => !sales.has(id) && !goneSales.has(id);
  const missing = new Set(page.map(({ saleId }) => saleId).filter(isUnknown));
  await Promise.all(
    [...missing].map(async (id) => {
      try {
        sales.set(id, await fetchSale(id));
      } catch (error) {
        // The order is then shown by its number.
        if (error instanceof Problem && error.status === 404) goneSales.add(id);
      }
    }),
  );
  return ![...missing].some(isUnknown);
}

/** @param {string | null} [after] the cursor to continue at */
async function refresh(after = null) {
  clearTimeout(poll);
  retry.hold();
  let trouble = '';
  try {
    const [known, page] = await Promise.all([
      fetchSales().catch(() => null),
      asBuyer((token) => fetchOrders(token, after)),
    ]);
    for (const sale of known?.sales ?? []) sales.set(sale.id, sale);
    const mine = await pendingBeside(page.orders);
    const hasNames = await fetchSalesOf([...orders, ...page.orders, ...mine.accepted, ...mine.unanswered]);
    ({ unanswered } = mine);
    orders = mergeOrders(orders, [...mine.accepted, ...page.orders]);
    cursor = page.nextCursor;
    if (orders.length + unanswered.length === 0)
      trouble = page.queuedOmitted ? texts.ordersQueued : texts.ordersEmpty;
    const isQueued = page.queuedOmitted || orders.some(({ status }) => status === 'queued');
    if (isQueued || unanswered.length > 0) poll = setTimeout(refresh, jittered(POLL_WHILE_QUEUED_MS));
    if (hasNames) retry.done();
    else retry.soon();
  } catch (error) {
    if (error instanceof NotSignedIn) {
      orders = [];
      unanswered = [];
      cursor = null;
      trouble = texts.ordersSignIn;
    } else {
      if (orders.length === 0) trouble = texts.loadFailed;
      if (after) toast(texts.noAnswer);
      retry.soon(error);
    }
  }
  setText(byId('empty'), trouble);
  show(byId('empty'), trouble !== '');
  draw();
}

/** How many purchases of this browser are looked up, beside the orders that the shop lists. */
const MAX_LOOKED_UP = 5;

/** The purchases that this browser waits for and that are not among these orders. @param {Order[]} listed */
async function pendingBeside(listed) {
  const buyer = currentSession()?.user;
  const pending = buyer ? listPending(buyer.id) : [];
  const known = new Set(
    [...listed, ...orders.filter(({ status }) => status !== 'queued')].map(({ id }) => id),
  );
  const missing = pending.filter(({ orderId }) => orderId && !known.has(orderId)).slice(0, MAX_LOOKED_UP);
  const found = await Promise.all(
    missing.map(({ orderId = '' }) => asBuyer((token) => fetchOrder(token, orderId)).catch(() => null)),
  );
  return {
    accepted: found.flatMap((order) => order ?? []),
    unanswered: pending.filter(({ orderId }) => !orderId),
  };
}

mountShell();
byId('sign-in').addEventListener('click', () => openAccount());
byId('more').addEventListener('click', () => refresh(cursor));
onSessionChange(() => {
  orders = [];
  refresh();
});
onPendingChange(() => refresh());
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
