/** One sale, live: wires what the page knows to the shop, the socket and the buttons. */

/** @import { OrderPage, SaleSnapshot } from '../../sale/contract.ts' */
/** @import { BuyState } from './buy-state.js' */

import { openAccount } from '../account/account.js';
import { asBuyer, currentSession, onSessionChange } from '../account/session.js';
import { fetchOrders, fetchSale, Problem } from '../shared/api.js';
import { jittered, serverNow, untilNextSecond } from '../shared/clock.js';
import { decoded, part, setText, show } from '../shared/dom.js';
import { openLive } from '../shared/live.js';
import { mountShell, tellConnection } from '../shared/shell.js';
import { speakStock } from '../shared/spoken.js';
import { texts } from '../shared/texts.js';
import { toast } from '../shared/toast.js';
import { openCheckout } from './checkout.js';
import { openSaleState } from './sale-state.js';
import { pressable, renderSale } from './sale-view.js';

const POLL_WHILE_DOWN_MS = 3_000;
/** Against a message lost on the way; the socket brings the news long before. */
const POLL_WHILE_UP_MS = 60_000;
/** What a buyer may still have depends on all their orders: of nearly 1,000 it is known. */
const MAX_ORDER_PAGES = 10;
/** Something happened of which only a snapshot tells what. */
const UNCLEAR_MS = 2_000;

const saleId = decoded(location.pathname.split('/')[2] ?? '');
const state = openSaleState(saleId);
let isUp = false;
let isReachable = true;
/** Counts the `sale` messages: an answer that was asked for before one may be older than it. */
let saleMessages = 0;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let tick;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let poll;

const checkout = openCheckout(saleId, {
  onChange: draw,
  onOutcome(outcome, purchase) {
    state.learnSent(purchase);
    if (outcome.kind === 'settled') state.learnOrder(outcome.order);
    if (outcome.kind === 'refused') {
      state.learnRefusal(outcome.problem, purchase, serverNow());
      refresh();
    }
    draw();
    // On a phone the order's story begins below the fold.
    if (outcome.kind !== 'signed-out') part('order').scrollIntoView({ block: 'nearest' });
  },
  onSettledElsewhere: refreshOrders,
});

function draw() {
  clearTimeout(tick);
  const view = state.view({
    now: serverNow(),
    isReachable,
    isSignedIn: currentSession() !== null,
    pending: checkout.pending(),
    progress: checkout.progress(),
  });
  if (!view) return;
  renderSale(view);
  speakStock(view.sale, view.status);
  tick = setTimeout(draw, Math.min(untilNextSecond(view.sale.opensAt), untilNextSecond(view.sale.closesAt)));
}

/** @param {SaleSnapshot} news @param {{ isWhole: boolean }} [how] */
function learn(news, how = { isWhole: true }) {
  if (state.sale()?.stock === 0 && news.stock > 0) toast(texts.backInStock);
  const isUnclear = state.learnSale(news, serverNow(), how);
  draw();
  if (!isUnclear) return;
  clearTimeout(poll);
  poll = setTimeout(refresh, jittered(UNCLEAR_MS));
}

async function refresh() {
  const messagesBefore = saleMessages;
  try {
    const news = await fetchSale(saleId);
    if (messagesBefore !== saleMessages) return refresh();
    isReachable = true;
    learn(news);
    delete part('main').dataset.loading;
    show(part('missing'), false);
  } catch (error) {
    isReachable = error instanceof Problem;
    if (!state.sale()) {
      const isMissing = error instanceof Problem && (error.status === 404 || error.status === 400);
      setText(part('missing-text'), isMissing ? texts.saleMissing : texts.loadFailed);
      show(part('missing'), true);
    }
  }
  draw();
  clearTimeout(poll);
  poll = setTimeout(refresh, jittered(isUp ? POLL_WHILE_UP_MS : POLL_WHILE_DOWN_MS));
}

async function refreshOrders() {
  const buyerId = currentSession()?.user.id;
  try {
    /** @type {string | null} */
    let cursor = null;
    for (let pages = 0; pages < MAX_ORDER_PAGES; pages++) {
      /** @type {string | null} */
      const after = cursor;
      /** @type {OrderPage} */
      const page = await asBuyer((token) => fetchOrders(token, after));
      if (currentSession()?.user.id !== buyerId) return;
      state.learnOrders(page.orders);
      draw();
      cursor = page.nextCursor;
      if (cursor === null) return;
    }
  } catch {
    // Signed out, or no answer: the next connection asks again.
  }
}

function press() {
  const buy = /** @type {BuyState} */ (part('buy').dataset.state);
  if (!pressable.has(buy)) return;
  if (buy === 'sign-in') return openAccount();
  if (buy === 'stalled') return checkout.retry();
  state.forgetRefusal();
  checkout.start(state.quantity());
}

function pressSecond() {
  const { action } = part('second').dataset;
  if (action === 'sign-in') openAccount('sign-up');
  if (action === 'forget') checkout.forget();
  if (action === 'more') state.wantMore();
  draw();
  if (action !== 'sign-in') part('buy').focus();
}

/** @param {number} wanted */
function choose(wanted) {
  state.choose(wanted);
  draw();
}

mountShell();
part('buy').addEventListener('click', press);
part('second').addEventListener('click', pressSecond);
part('fewer').addEventListener('click', () => choose(state.quantity() - 1));
part('more').addEventListener('click', () => choose(state.quantity() + 1));
const typed = () => /** @type {HTMLInputElement} */ (part('quantity')).value;
part('quantity').addEventListener('input', () => typed() !== '' && choose(Number(typed())));
part('quantity').addEventListener('change', () => choose(Number(typed())));

onSessionChange(() => {
  state.forgetBuyer();
  draw();
  refreshOrders();
  checkout.resume();
});
// A tab that slept, or that the back button brought out of the cache, is behind.
document.addEventListener('visibilitychange', () => document.hidden || refresh());
addEventListener('pageshow', (event) => event.persisted && refresh());

refresh().then(() => checkout.resume());
refreshOrders();
openLive({
  saleId,
  onUp() {
    isUp = true;
    tellConnection(false);
    checkout.hurry();
    refresh();
    refreshOrders();
  },
  onDown() {
    isUp = false;
    tellConnection(true);
    refresh();
  },
  onStock(message) {
    const sale = state.sale();
    if (!sale || message.saleId !== saleId || message.stockVersion <= sale.stockVersion) return;
    learn({ ...sale, stock: message.stock, stockVersion: message.stockVersion }, { isWhole: false });
  },
  onSale(news) {
    if (news.id !== saleId) return;
    saleMessages += 1;
    learn(news);
  },
  onCrowd({ saleId: id, people }) {
    if (id !== saleId) return;
    state.learnPeople(people);
    draw();
  },
  onOrder(order) {
    checkout.heard(order);
    state.learnOrder(order);
    draw();
  },
});
