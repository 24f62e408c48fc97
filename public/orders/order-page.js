/** The page of one order: what it is, how long it is held, its payment, and its receipt. */

/** @import { Order, OrderPayment, SaleSnapshot } from '../../sale/contract.ts' */
/** @import { PayPhase } from './pay/pay-panel.js' */

import { openAccount } from '../account/account.js';
import { asBuyer, currentSession, NotSignedIn, onSessionChange } from '../account/session.js';
import { fetchOrder, fetchSale, Problem } from '../shared/api.js';
import { jittered, serverNow, untilNextSecond } from '../shared/clock.js';
import { byId, decoded, element, setText, show } from '../shared/dom.js';
import { dateTime, money, number, shortCountdown, smallPicture } from '../shared/format.js';
import { amountOf, linesOf, shortNumberOf } from '../shared/items.js';
import { openLive } from '../shared/live.js';
import { openRetry } from '../shared/retry.js';
import { mountShell, showConnectionLost } from '../shared/shell.js';
import { texts } from '../shared/texts.js';
import { cancellableUntilMs, cancellingOf } from './cancelling.js';
import { isUnderWay, moneyOutcome, payingOf, refundedOf, spokenSeconds } from './order-story.js';
import { noteOf } from './order-view.js';
import { openPayPanel } from './pay/pay-panel.js';
import { fetchPayments } from './pay/payment-api.js';

const orderId = decoded(location.pathname.split('/')[2] ?? '');
const PAYING = '#pay';
const POLL_WHILE_QUEUED_MS = 3_000;
/** How soon the payment is read again whose money is just being taken. */
const POLL_WHILE_TAKEN_MS = 2_000;
const POLL_RARELY_MS = 60_000;

/** @type {Order | null} */
let order = null;
/** @type {SaleSnapshot | null} */
let sale = null;
/** @type {OrderPayment[]} */
let payments = [];
/** @type {ReturnType<typeof setTimeout> | undefined} */
let tick;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let poll;
const retry = openRetry(() => refresh());
/** Whether the shop no longer has the order's sale. */
let isSaleGone = false;
/** The time left that was spoken last. @type {number | null | undefined} */
let spoken;
/** Whether this page has put the form's step into the history, so that going back closes it. */
let isStepOurs = false;

const panel = openPayPanel(orderId, byId('pay-form'), {
  onChange: draw,
  async onMoved() {
    await refresh();
    return order?.status === 'held';
  },
});

const millisecondsLeft = () => Date.parse(order?.holdExpiresAt ?? '') - serverNow();

function draw() {
  clearTimeout(tick);
  if (!order) return;
  const lines = linesOf(order, sale);
  const products = lines.flatMap(({ item }) => item?.product ?? sale?.product ?? []);
  const unnamed = isSaleGone ? texts.unknownSale : texts.orderTitle;
  const name = [...new Set(products.map((product) => product.name))].join(', ') || unnamed;
  document.title = `${name} · ${texts.brand}`;
  setText(byId('name'), name);
  drawPicture(products[0]?.image ?? '');
  setText(byId('number'), texts.orderNumberLong(shortNumberOf(order.id)));
  byId('order').dataset.status = order.status;
  drawMoment();
  drawPay();
  drawReceipt(lines);
  drawActions();
  if (order.status === 'held' && order.holdExpiresAt)
    tick = setTimeout(draw, untilNextSecond(order.holdExpiresAt));
}

/** @param {string} image */
function drawPicture(image) {
  const picture = byId('picture').querySelector('img');
  if (image === '' || picture) return;
  const small = { src: smallPicture(image), alt: '', width: '96', height: '96' };
  byId('picture').replaceChildren(element('img', small));
}

function drawMoment() {
  if (!order) return;
  const isHeld = order.status === 'held';
  const isLate = isHeld && millisecondsLeft() <= 0;
  const isProcessing = panel.phase() === 'processing';
  setText(byId('status'), headline(order));
  show(byId('clock'), isHeld && !isLate && !isProcessing);
  setText(byId('countdown'), isHeld ? shortCountdown(millisecondsLeft()) : '');
  setText(byId('note'), isProcessing ? texts.pay.processingNote : noteOf(order));
  drawMoney();
  if (!isHeld) return;
  const seconds = spokenSeconds(millisecondsLeft());
  if (spoken !== undefined && seconds !== spoken && seconds !== null && !isLate)
    setText(byId('spoken'), texts.pay.spokenLeft(seconds));
  spoken = seconds;
}

/** @param {Order} order @returns {string} */
function headline(order) {
  if (panel.phase() === 'processing') return texts.pay.processing;
  if (order.status === 'held' && millisecondsLeft() <= 0) return texts.pay.timeUp;
  const isPart = order.status === 'paid' && refundedOf(order, payments) > 0;
  return isPart ? texts.partRefunded : texts.orderStatus[order.status];
}

/** What became of the money, once the order is neither held nor paid. */
function drawMoney() {
  const isOver = order?.status !== 'held' && order?.status !== 'paid' && order?.status !== 'queued';
  const text = isOver ? moneyText(moneyOutcome(payments)) : '';
  setText(byId('money'), text);
  show(byId('money'), text !== '');
}

/** @param {ReturnType<typeof moneyOutcome>} outcome */
function moneyText(outcome) {
  if (outcome.kind === 'none') return '';
  if (outcome.kind === 'released') return texts.money.released;
  return texts.money[outcome.kind](money(outcome.money));
}

/** The phases in which the form's place is the buyer's to use. @type {ReadonlySet<PayPhase>} */
const withForm = new Set(['form', 'sending']);

/** @type {Partial<Record<PayPhase, string>>} */
const payNotes = {
  starting: texts.pay.opening,
  elsewhere: texts.pay.elsewhere,
  unreachable: texts.pay.unreachable,
  'not-here': texts.pay.notHere,
};

function drawPay() {
  const phase = panel.phase();
  const isHeld = order?.status === 'held';
  show(byId('pay'), isHeld && phase !== 'processing');
  if (!isHeld || !order) return;
  const url = panel.checkoutUrl();
  const failure = phase === 'form' ? panel.failure() : null;
  const note = phase === 'checkout' ? (url ? texts.pay.checkoutNote : texts.pay.byShop) : payNotes[phase];
  setText(byId('pay-failure'), failure === null ? '' : failureText(failure));
  show(byId('pay-failure'), failure !== null);
  setText(byId('pay-note'), note ?? '');
  show(byId('pay-note'), note !== undefined);
  show(byId('pay-form'), withForm.has(phase));

  const isLate = millisecondsLeft() <= 0;
  const button = byId('pay-button');
  const price = amountOf(order, linesOf(order, sale));
  const labels = { elsewhere: texts.pay.here, unreachable: texts.pay.again, sending: texts.pay.sending };
  const label = labels[/** @type {keyof typeof labels} */ (phase)];
  setText(button, label ?? (price ? texts.pay.pay(money(price)) : texts.pay.now));
  const isBusy = phase === 'starting' || phase === 'sending';
  button.setAttribute('aria-disabled', String(isBusy || isLate));
  button.dataset.state = phase;
  show(button, phase !== 'checkout' && phase !== 'not-here');

  const link = /** @type {HTMLAnchorElement} */ (byId('checkout'));
  if (url) link.href = url;
  setText(link, texts.pay.toCheckout);
  show(link, phase === 'checkout' && url !== null);
  setText(byId('not-now'), texts.pay.notNow);
  show(byId('not-now'), phase === 'form' || phase === 'checkout');
}

/** @param {string} failure the provider's word */
function failureText(failure) {
  /** @type {Record<string, string>} */
  const known = texts.pay.failures;
  return (Object.hasOwn(known, failure) && known[failure]) || texts.pay.failed;
}

/** @param {import('../shared/items.js').Line[]} lines */
function drawReceipt(lines) {
  if (!order) return;
  const { status, createdAt } = order;
  const isPaid = status === 'paid';
  const refunded = refundedOf(order, payments);
  const price = amountOf(order, lines);
  const paidAt = payingOf(payments)?.capturedAt ?? (payments.length === 0 ? order.settledAt : null);
  setText(byId('receipt-title'), isPaid ? texts.receipt : texts.orderTitle);
  const name = byId('name').textContent ?? '';
  fill(
    byId('lines'),
    lines.map((line) => pair('li', 'span', `${number(line.quantity)} × ${line.name || name}`, line.money)),
  );
  /** @type {[string, string, string?][]} */
  const facts = [];
  if (price) facts.push([texts.total, money(price), 'total']);
  if (refunded > 0 && price) facts.push([texts.refunded, money({ ...price, amount: refunded })]);
  facts.push([texts.receiptNumber, shortNumberOf(order.id)], [texts.orderedAt, dateTime(createdAt)]);
  if (isPaid && paidAt) facts.push([texts.paidAt, dateTime(paidAt)]);
  if (isPaid) facts.push([texts.receiptFrom, texts.brand]);
  fill(
    byId('facts'),
    facts.map(([label, value, kind]) =>
      element('div', { 'data-kind': kind }, element('dt', {}, label), element('dd', {}, value)),
    ),
  );
}

/** @param {'li'} tag @param {'span'} part @param {string} text @param {import('../../sale/contract.ts').Money | null} price */
const pair = (tag, part, text, price) =>
  element(tag, {}, element(part, {}, text), element(part, {}, price ? money(price) : ''));

/** Writes only what changed. @param {HTMLElement} list @param {HTMLElement[]} drawn */
function fill(list, drawn) {
  const isSame =
    list.children.length === drawn.length &&
    drawn.every((node, at) => node.isEqualNode(list.children[at] ?? null));
  if (!isSame) list.replaceChildren(...drawn);
}

let drawnActions = '';

/** The buttons keep the keyboard focus while nothing about them changes. */
function drawActions() {
  if (!order) return;
  const isOver = (cancellableUntilMs(sale ?? undefined) ?? 0) <= serverNow();
  const isBusy = panel.phase() === 'sending' || panel.phase() === 'processing';
  const now = [order.status, sale?.id, sale?.cancellableUntil, isOver, isBusy].join();
  if (now === drawnActions) return;
  drawnActions = now;
  const print = element('button', { type: 'button', class: 'quiet' }, texts.print);
  print.addEventListener('click', () => globalThis.print());
  byId('actions').replaceChildren(
    ...(isBusy ? [] : cancellingOf(order, sale ?? undefined, receiveOrder)),
    ...(order.status === 'paid' ? [print] : []),
    element('a', { href: `/sales/${encodeURIComponent(order.saleId)}` }, texts.toSale),
  );
}

/** @param {Order} received */
function receiveOrder(received) {
  if (received.id !== orderId) return;
  const isNews = received.status !== order?.status;
  order = received;
  if (order.status !== 'held') stopPaying();
  draw();
  if (isNews) refresh();
}

function stopPaying() {
  panel.close();
  if (location.hash === PAYING) history.replaceState(null, '', location.pathname);
}

/** @param {string} saleId @returns {Promise<SaleSnapshot | null>} */
async function fetchSaleOf(saleId) {
  try {
    return await fetchSale(saleId);
  } catch (error) {
    // The order is then shown without the names of what was bought.
    isSaleGone = error instanceof Problem && error.status === 404;
    return null;
  }
}

async function refresh() {
  clearTimeout(poll);
  retry.hold();
  let failure = null;
  try {
    const [found, paid] = await asBuyer((token) =>
      Promise.all([fetchOrder(token, orderId), fetchPayments(token, orderId)]),
    );
    order = found;
    payments = paid;
    sale ??= await fetchSaleOf(found.saleId);
    if (!sale && !isSaleGone) failure = new Error('the sale did not load');
    showMissing('');
    if (order.status !== 'held') stopPaying();
    else if (isUnderWay(payments)) panel.goOn();
  } catch (error) {
    if (error instanceof NotSignedIn) {
      order = null;
      panel.close();
      showMissing(texts.orderSignIn);
    } else if (error instanceof Problem && error.status === 404) showMissing(texts.orderMissing);
    else {
      if (!order) showMissing(texts.loadFailed);
      failure = error;
    }
  }
  draw();
  clearTimeout(poll);
  if (failure) return retry.soon(failure);
  retry.done();
  poll = setTimeout(refresh, jittered(pollMs()));
}

function pollMs() {
  if (!order || order.status === 'queued') return POLL_WHILE_QUEUED_MS;
  if (order.status === 'held' && millisecondsLeft() <= 0) return POLL_WHILE_TAKEN_MS;
  const isTaking = order.status === 'paid' && payments[0]?.state === 'authorised';
  return isTaking ? POLL_WHILE_TAKEN_MS : POLL_RARELY_MS;
}

/** @param {string} text */
function showMissing(text) {
  setText(byId('missing-text'), text);
  show(byId('missing'), text !== '');
  show(byId('order'), text === '');
  show(byId('sign-in'), currentSession() === null);
  delete byId('main').dataset.loading;
}

function openForm() {
  if (order?.status !== 'held' || millisecondsLeft() <= 0) return;
  panel.open(panel.phase() === 'elsewhere');
}

function press() {
  const phase = panel.phase();
  if (byId('pay-button').getAttribute('aria-disabled') === 'true') return;
  if (phase === 'form') return panel.submit();
  if (location.hash === PAYING) return openForm();
  isStepOurs = true;
  location.hash = PAYING;
}

function notNow() {
  if (isStepOurs) return history.back();
  history.replaceState(null, '', location.pathname);
  panel.close();
}

mountShell();
byId('sign-in').addEventListener('click', () => openAccount());
byId('pay-button').addEventListener('click', press);
byId('not-now').addEventListener('click', notNow);
addEventListener('hashchange', () => {
  if (location.hash === PAYING) return openForm();
  isStepOurs = false;
  // What was sent goes on, and its outcome is shown.
  const isSent = panel.phase() === 'sending' || panel.phase() === 'processing';
  if (isSent) refresh();
  else panel.close();
});
onSessionChange(() => {
  order = null;
  refresh();
});
document.addEventListener('visibilitychange', () => document.hidden || refresh());
addEventListener('pageshow', (event) => event.persisted && refresh());

// A provider that sent the buyer back has put the payment's secret into the address.
if (location.search) history.replaceState(null, '', location.pathname + location.hash);
refresh().then(() => location.hash === PAYING && openForm());
openLive({
  onUp() {
    showConnectionLost(false);
    refresh();
  },
  onDown: () => showConnectionLost(true),
  onOrder: receiveOrder,
});
