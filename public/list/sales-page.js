/** The list of all sales: open, upcoming and ended. */

/** @import { SalePage, SaleSnapshot, SaleStatus } from '../../sale/contract.ts' */

import { statusNow } from '../sale/buy-state.js';
import { fetchSales } from '../shared/api.js';
import { jittered, serverNow } from '../shared/clock.js';
import { byId, element, setText, show } from '../shared/dom.js';
import { countdown, dateTime, money, number, smallPicture } from '../shared/format.js';
import { itemName, itemsOf, lowestPrice, saleName, withStock } from '../shared/items.js';
import { openLive } from '../shared/live.js';
import { openRetry } from '../shared/retry.js';
import { mountShell, showConnectionLost } from '../shared/shell.js';
import { texts } from '../shared/texts.js';
import { toast } from '../shared/toast.js';

const POLL_WHILE_DOWN_MS = 10_000;
const POLL_WHILE_UP_MS = 60_000;

/** @type {SaleSnapshot[]} */
let sales = [];
/** @type {string | null} the cursor of the next page */
let cursor = null;
let hasOlder = false;
/** Until then the page shows what the server knew. */
let isLoaded = false;

/** @type {{ title: string, holds: SaleStatus[] }[]} */
const groups = [
  { title: texts.groupLive, holds: ['open', 'paused', 'sold_out'] },
  { title: texts.groupSoon, holds: ['scheduled'] },
  { title: texts.groupEnded, holds: ['ended', 'called_off'] },
];

/**
 * What is on sale comes before what has sold out, and the soonest end or opening first.
 * @param {SaleStatus} status @param {SaleSnapshot} sale @returns {[number, number]}
 */
function placeOf(status, { opensAt, closesAt }) {
  if (status === 'scheduled') return [0, Date.parse(opensAt)];
  if (status === 'ended' || status === 'called_off') return [0, -Date.parse(closesAt)];
  return [status === 'sold_out' ? 1 : 0, Date.parse(closesAt)];
}

function draw() {
  if (!isLoaded) return;
  const now = serverNow();
  const placed = sales
    .map((sale) => ({ sale, place: placeOf(statusNow(sale, now), sale) }))
    .sort(({ place: [one, at] }, { place: [other, otherAt] }) => one - other || at - otherAt)
    .map(({ sale }) => sale);
  const sections = groups.flatMap(({ title, holds }) => {
    const members = placed.filter((sale) => holds.includes(statusNow(sale, now)));
    if (members.length === 0) return [];
    const cards = members.map((sale) => card(sale, now));
    return [element('section', {}, element('h2', {}, title), element('ul', { class: 'cards' }, ...cards))];
  });
  const list = byId('sales');
  const drawn = element('div', { id: 'sales' }, ...sections);
  if (list.isEqualNode(drawn)) return;
  // Only changed texts are written, so that the keyboard focus is kept.
  if (!updateTexts(list, drawn)) list.replaceWith(drawn);
}

/** @param {Element} list @param {Element} drawn @returns {boolean} whether the two have the same cards */
function updateTexts(list, drawn) {
  const shape = (/** @type {Element} */ root) =>
    Array.from(
      root.querySelectorAll('h2, a'),
      (node) => node.getAttribute('href') ?? node.textContent,
    ).join();
  if (shape(list) !== shape(drawn)) return false;
  const drawnItems = drawn.querySelectorAll('li');
  list.querySelectorAll('li').forEach((item, at) => {
    const before = item.querySelector('.card-live');
    const after = drawnItems[at]?.querySelector('.card-live');
    if (before && after && !before.isEqualNode(after)) before.replaceWith(after);
  });
  return true;
}

/** @param {SaleSnapshot} sale @param {number} now */
function card(sale, now) {
  const { id, product, site, stock, unitsOnSale } = sale;
  const status = statusNow(sale, now);
  const moment = {
    scheduled: `${texts.opensIn} ${countdown(Date.parse(sale.opensAt) - now)}`,
    ended: `${texts.endedAt} ${dateTime(Math.min(Date.parse(sale.closesAt), now))}`,
    called_off: dateTime(sale.closesAt),
  };
  // Nothing is sold in front of another site.
  const left = site ? '' : texts.stockLine(number(stock), number(unitsOnSale));
  const picture = product.image
    ? element('img', {
        src: smallPicture(product.image),
        alt: '',
        width: '400',
        height: '400',
        loading: 'lazy',
      })
    : element('span', { class: 'no-picture' });
  return element(
    'li',
    { class: 'card', 'data-status': status },
    element('div', { class: 'card-stage' }, picture),
    element(
      'div',
      { class: 'card-text' },
      element('a', { href: `/sales/${encodeURIComponent(id)}`, dir: 'auto' }, saleName(sale)),
      ...(site ? [] : [priceOf(sale)]),
      element(
        'div',
        { class: 'card-live' },
        element('span', { class: 'chip', 'data-status': status }, texts.saleStatus[status]),
        element(
          'span',
          {},
          Object.hasOwn(moment, status) ? moment[/** @type {keyof typeof moment} */ (status)] : left,
        ),
        ...itemsLine(sale),
      ),
    ),
  );
}

/** @param {SaleSnapshot} sale */
function priceOf(sale) {
  const { price, isOnly } = lowestPrice(sale);
  const oldPrice = isOnly ? sale.oldPrice : null;
  const before = element('s', { class: 'muted' }, oldPrice ? money(oldPrice) : '');
  const now = isOnly ? money(price) : texts.from(money(price));
  return element('p', { class: 'card-price' }, ...(oldPrice ? [before, ' '] : []), now);
}

const SHOWN_ITEMS = 12;

/** The names of several items, of which those that are sold out are struck through. @param {SaleSnapshot} sale */
function itemsLine(sale) {
  const items = itemsOf(sale);
  if (items.length < 2 || sale.site) return [];
  const names = items.slice(0, SHOWN_ITEMS).map((item) => {
    const name = itemName(sale, item);
    if (item.stock > 0) return element('span', { dir: 'auto' }, name);
    return element(
      's',
      { dir: 'auto' },
      name,
      element('span', { class: 'visually-hidden' }, ` ${texts.saleStatus.sold_out}`),
    );
  });
  const more = items.length - names.length;
  const rest = more > 0 ? [element('span', {}, `+${number(more)}`)] : [];
  return [element('p', { class: 'card-items', 'data-testid': 'card-items' }, ...names, ...rest)];
}

/** @type {ReturnType<typeof setTimeout> | undefined} */
let poll;
let isUp = false;
const retry = openRetry(() => document.hidden || refresh());

/** Replaces the first page, and keeps the pages loaded after it. @param {SalePage} page */
function update(page) {
  const known = new Set(page.sales.map(({ id }) => id));
  sales = [...page.sales, ...sales.filter(({ id }) => hasOlder && !known.has(id))];
  if (!hasOlder) cursor = page.nextCursor;
  isLoaded = true;
  show(byId('more'), cursor !== null);
}

async function loadMore() {
  try {
    const page = await fetchSales(cursor);
    const known = new Set(sales.map(({ id }) => id));
    sales = [...sales, ...page.sales.filter(({ id }) => !known.has(id))];
    cursor = page.nextCursor;
    hasOlder = true;
    show(byId('more'), cursor !== null);
    draw();
  } catch {
    toast(texts.noAnswer);
  }
}

async function refresh() {
  clearTimeout(poll);
  retry.hold();
  /** @type {unknown} */
  let failure = null;
  try {
    update(await fetchSales());
    setText(byId('empty'), texts.salesEmpty);
    show(byId('empty'), sales.length === 0);
  } catch (error) {
    failure = error;
    setText(byId('empty'), texts.loadFailed);
    show(byId('empty'), byId('sales').childElementCount === 0);
  }
  draw();
  clearTimeout(poll);
  if (failure) return retry.soon(failure);
  retry.done();
  if (!document.hidden) poll = setTimeout(refresh, jittered(isUp ? POLL_WHILE_UP_MS : POLL_WHILE_DOWN_MS));
}

mountShell();
byId('more').addEventListener('click', loadMore);
setInterval(draw, 1_000);
document.addEventListener('visibilitychange', () => document.hidden || refresh());
refresh();
openLive({
  isList: true,
  onUp() {
    isUp = true;
    showConnectionLost(false);
    refresh();
  },
  onDown() {
    isUp = false;
    showConnectionLost(true);
    refresh();
  },
  onStock(message) {
    const isNewer = (/** @type {SaleSnapshot} */ sale) =>
      sale.id === message.saleId && message.stockVersion > sale.stockVersion;
    sales = sales.map((sale) => (isNewer(sale) ? withStock(sale, message) : sale));
    draw();
  },
  onSale(snapshot) {
    const others = sales.filter(({ id }) => id !== snapshot.id);
    sales = [...others, snapshot];
    show(byId('empty'), false);
    draw();
  },
});
