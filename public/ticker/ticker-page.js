/** One sale on the wall of the shop: what is left, as large as the screen, and what just happened. Nothing to press. */

/** @import { SaleSnapshot } from '../../sale/contract.ts' */

import { statusNow } from '../sale/buy-state.js';
import { inWords, openHappenings } from '../sale/happenings.js';
import { fetchSale, Problem } from '../shared/api.js';
import { jittered, serverNow } from '../shared/clock.js';
import { decoded, element, part, setText, show } from '../shared/dom.js';
import { countdown, money, number } from '../shared/format.js';
import { openLive } from '../shared/live.js';
import { texts } from '../shared/texts.js';

const POLL_WHILE_UP_MS = 60_000;
const POLL_WHILE_DOWN_MS = 3_000;
const SHOWN_HAPPENINGS = 4;

const saleId = decoded(location.pathname.split('/')[2] ?? '');
const happenings = openHappenings();
/** @type {SaleSnapshot | null} */
let sale = null;
let people = 0;
let isUp = false;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let poll;

function draw() {
  if (!sale) return;
  const now = serverNow();
  const status = statusNow(sale, now);
  const { product, price, stock, unitsOnSale, opensAt, closesAt } = sale;
  document.title = `${product.name} · ${texts.brand}`;
  part('main').dataset.status = status;
  setText(part('name'), product.name);
  setText(part('price'), money(price));
  setText(part('stock'), number(stock));
  part('stock').style.setProperty('--digits', String(number(stock).length));
  setText(part('units'), texts.unitsOf(number(unitsOnSale)));
  const bar = part('stock-bar');
  bar.style.setProperty('--left', (stock / Math.max(1, unitsOnSale)).toFixed(4));
  setText(part('status'), texts.saleStatus[status]);
  const target = Date.parse(status === 'scheduled' ? opensAt : closesAt);
  const label = status === 'scheduled' ? texts.opensIn : texts.endsIn;
  setText(part('countdown'), status === 'ended' ? '' : `· ${label} ${countdown(target - now)}`);
  setText(part('people'), people > 0 ? texts.people(people) : '');
  const lines = happenings.list().slice(0, SHOWN_HAPPENINGS).map(inWords);
  const drawn = element('ul', {}, ...lines.map((line) => element('li', {}, line)));
  if (part('happenings').innerHTML !== drawn.innerHTML) part('happenings').replaceChildren(...drawn.children);
}

/** @param {SaleSnapshot} news @param {boolean} isWhole */
function learn(news, isWhole) {
  const isOlder = sale !== null && news.stockVersion < sale.stockVersion;
  sale = isOlder && sale ? { ...news, stock: sale.stock, stockVersion: sale.stockVersion } : news;
  const now = serverNow();
  const isUnclear = isOlder || happenings.learn(sale, statusNow(sale, now), now, isWhole);
  draw();
  if (!isUnclear) return;
  clearTimeout(poll);
  poll = setTimeout(refresh, jittered(2_000));
}

async function refresh() {
  clearTimeout(poll);
  let trouble = isUp || !sale ? '' : texts.connectionLost;
  try {
    const news = await fetchSale(saleId);
    delete part('main').dataset.loading;
    learn(news, true);
  } catch (error) {
    const isMissing = error instanceof Problem && error.status < 500;
    trouble = isMissing ? texts.saleMissing : texts.loadFailed;
  }
  setText(part('trouble'), trouble);
  show(part('trouble'), trouble !== '');
  clearTimeout(poll);
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
  onStock({ saleId: id, stock, stockVersion }) {
    if (sale && id === saleId && stockVersion > sale.stockVersion) {
      learn({ ...sale, stock, stockVersion }, false);
    }
  },
  onSale: (news) => news.id === saleId && learn(news, true),
  onCrowd(message) {
    if (message.saleId === saleId) people = message.people;
    draw();
  },
});
