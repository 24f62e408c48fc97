/** One sale on a large screen: its stock and its recent events, without controls. */

/** @import { SaleSnapshot } from '../../sale/contract.ts' */

import { statusNow } from '../sale/buy-state.js';
import { inWords, openRecentEvents } from '../sale/recent-events.js';
import { fetchSale, Problem } from '../shared/api.js';
import { jittered, serverNow } from '../shared/clock.js';
import { byId, decoded, element, setText, show } from '../shared/dom.js';
import { countdown, moment, money, number } from '../shared/format.js';
import { itemName, itemsOf, lowestPrice, saleName, withNewestStock, withStock } from '../shared/items.js';
import { openLive } from '../shared/live.js';
import { openRetry } from '../shared/retry.js';
import { texts } from '../shared/texts.js';

const POLL_WHILE_UP_MS = 60_000;
const POLL_WHILE_DOWN_MS = 3_000;
const SHOWN_EVENTS = 4;
const SHOWN_ITEMS = 24;

const saleId = decoded(location.pathname.split('/')[2] ?? '');
const recentEvents = openRecentEvents();
/** @type {SaleSnapshot | null} */
let sale = null;
let people = 0;
let isUp = false;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let poll;
const retry = openRetry(() => refresh());

function draw() {
  if (!sale) return;
  const now = serverNow();
  const status = statusNow(sale, now);
  const { stock, unitsOnSale, opensAt, closesAt } = sale;
  const { price, isOnly } = lowestPrice(sale);
  document.title = `${sale.product.name} · ${texts.brand}`;
  byId('main').dataset.status = status;
  byId('main').toggleAttribute('data-site', sale.site !== undefined);
  setText(byId('name'), saleName(sale));
  setText(byId('price'), isOnly ? money(price) : texts.from(money(price)));
  setText(byId('stock'), number(stock));
  byId('stock').style.setProperty('--digits', String(number(stock).length));
  const isSoon = status === 'scheduled';
  const isOver = status === 'ended' || status === 'called_off';
  // In front of another site nothing is sold here, so the time is shown where the stock would be.
  const hasClock = isSoon || (sale.site !== undefined && !isOver);
  const until = countdown(Date.parse(isSoon ? opensAt : closesAt) - now);
  setText(byId('until'), hasClock ? until : '');
  byId('until').style.setProperty('--digits', String(until.length));
  show(byId('until'), hasClock);
  show(byId('stock'), !isSoon);
  const units = isSoon
    ? texts.stockLine(number(stock), number(unitsOnSale))
    : texts.unitsOf(number(unitsOnSale));
  const offer = sale.site ? texts.soldAt(new URL(sale.site.url).host) : units;
  setText(byId('units'), isSoon ? `${moment(opensAt)} · ${offer}` : offer);
  const bar = byId('stock-bar');
  bar.style.setProperty('--left', (stock / Math.max(1, unitsOnSale)).toFixed(4));
  setText(byId('status'), texts.saleStatus[status]);
  setText(
    byId('countdown'),
    isOver || isSoon ? '' : `· ${texts.endsIn} ${countdown(Date.parse(closesAt) - now)}`,
  );
  setText(byId('people'), people > 0 ? texts.people(people) : '');
  drawItems(sale);
  const lines = recentEvents.list().slice(0, SHOWN_EVENTS).map(inWords);
  const drawn = element('ul', {}, ...lines.map((line) => element('li', {}, line)));
  if (byId('recent-events').innerHTML !== drawn.innerHTML)
    byId('recent-events').replaceChildren(...drawn.children);
}

/** What is left of each of several items. @param {SaleSnapshot} of */
function drawItems(of) {
  const items = itemsOf(of);
  const isShown = items.length > 1 && !of.site;
  show(byId('items'), isShown);
  if (!isShown) return;
  const shown = items.slice(0, SHOWN_ITEMS).map((item) => {
    const name = element('span', {}, itemName(of, item));
    const left = element('strong', {}, number(item.stock));
    return element('li', { 'data-out': item.stock === 0 }, name, ' ', left);
  });
  const more = items.length - shown.length;
  const drawn = element('ul', {}, ...shown, ...(more > 0 ? [element('li', {}, `+${number(more)}`)] : []));
  if (byId('items').innerHTML !== drawn.innerHTML) byId('items').replaceChildren(...drawn.children);
}

/** @param {SaleSnapshot} snapshot @param {boolean} isWhole */
function update(snapshot, isWhole) {
  const isOlder = sale !== null && snapshot.stockVersion < sale.stockVersion;
  sale = withNewestStock(sale, snapshot);
  const now = serverNow();
  const needsSnapshot = isOlder || recentEvents.update(sale, statusNow(sale, now), now, isWhole);
  draw();
  if (!needsSnapshot) return;
  clearTimeout(poll);
  poll = setTimeout(refresh, jittered(2_000));
}

async function refresh() {
  clearTimeout(poll);
  retry.hold();
  /** @type {unknown} */
  let failure = null;
  let message = isUp || !sale ? '' : texts.connectionLost;
  try {
    const snapshot = await fetchSale(saleId);
    delete byId('main').dataset.loading;
    update(snapshot, true);
  } catch (error) {
    const isMissing = error instanceof Problem && error.status < 500;
    message = isMissing ? texts.saleMissing : texts.loadFailed;
    if (!isMissing) failure = error;
  }
  setText(byId('error'), message);
  show(byId('error'), message !== '');
  clearTimeout(poll);
  if (failure) return retry.soon(failure);
  retry.done();
  poll = setTimeout(refresh, jittered(isUp ? POLL_WHILE_UP_MS : POLL_WHILE_DOWN_MS));
}

document.documentElement.lang = texts.language;
setInterval(draw, 1_000);
refresh();
openLive({
  saleId,
  onUp() {
    isUp = true;
    refresh();
  },
  onDown() {
    isUp = false;
    refresh();
  },
  onStock(message) {
    if (sale && message.saleId === saleId && message.stockVersion > sale.stockVersion) {
      update(withStock(sale, message), false);
    }
  },
  onSale: (snapshot) => snapshot.id === saleId && update(snapshot, true),
  onCrowd(message) {
    if (message.saleId === saleId) people = message.people;
    draw();
  },
});
