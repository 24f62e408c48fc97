/** One order: its lines, steps, mails, webhooks and notes, and what staff can do about it. */

/** @import { AdminOrder, OrderDelivery, OrderDetails, OrderMail, OrderPayment, OrderStep } from '../../../insight/contract.ts' */

import { element, setText } from '../../shared/dom.js';
import { dateTime, exactTime, money, number } from '../../shared/format.js';
import { shortNumberOf } from '../../shared/items.js';
import { texts as storefront } from '../../shared/texts.js';
import { toast } from '../../shared/toast.js';
import { action, subheading } from '../components.js';
import { errorText } from '../http.js';
import { reasonText } from '../sales/report.js';
import { texts } from '../texts.js';
import { openCancelForm } from './cancel-form.js';
import { addNote, cancelOrder, fetchOrderDetails, sendMailAgain } from './desk-api.js';
import { amountOf, cancelReasonText, isCancellable, sharedBy } from './order-cells.js';
import { openRefundForm, refundableOf } from './refund-form.js';

/** @param {string} orderId */
export function openOrderView(orderId) {
  const { order: t, words } = texts;
  const short = shortNumberOf(orderId);
  const body = element('div', { class: 'order-details', 'data-testid': 'order-details' });
  const errorLine = element('p', { class: 'failure', role: 'status' });
  const cancel = action(
    t.cancel,
    async () => {
      const done = await openCancelForm(1, (why) => cancelOrder(orderId, why));
      if (done) toast(t.cancelled(short));
      await load();
    },
    { class: 'small danger', 'data-testid': 'cancel' },
  );
  const mail = action(
    t.mailAgain,
    async () => {
      await sendMailAgain(orderId);
      toast(t.mailSent);
      await load();
    },
    { 'data-testid': 'mail-again' },
  );
  /** @type {OrderDetails | null} */
  let shown = null;
  const refund = action(
    texts.refundForm.title,
    async () => {
      const payment = shown && refundableOf(shown);
      if (payment && (await openRefundForm(orderId, payment))) toast(texts.refundForm.done);
      await load();
    },
    { 'data-testid': 'refund' },
  );
  cancel.hidden = true;
  mail.hidden = true;
  refund.hidden = true;

  async function load() {
    try {
      const details = await fetchOrderDetails(orderId);
      shown = details;
      cancel.hidden = !isCancellable(details.order);
      refund.hidden = refundableOf(details) === null;
      mail.hidden = details.mails.length === 0 || details.order.email === null;
      body.replaceChildren(...sectionsOf(details, load));
      setText(errorLine, '');
    } catch (error) {
      setText(errorLine, errorText(error));
    }
  }

  load();
  return {
    root: element(
      'div',
      {},
      element(
        'header',
        { class: 'view-head' },
        element('h1', {}, t.title(short)),
        element('div', { class: 'actions' }, cancel, refund, mail, action(words.lookAgain, load)),
      ),
      errorLine,
      body,
    ),
  };
}

/** @param {OrderDetails} details @param {() => Promise<void>} reload @returns {Node[]} */
function sectionsOf(details, reload) {
  const { order, stepsOmitted, mails, deliveries } = details;
  const { order: t, words } = texts;
  return [
    facts(details),
    section(t.lines, linesOf(details)),
    section(
      t.happened,
      list(
        [stepLine(order.createdAt, words.accepted), ...details.steps.map(stepOf)],
        stepsOmitted ? t.logTooLong : '',
      ),
    ),
    ...(details.payments.length > 0 ? [paymentsOf(details)] : []),
    section(t.mails, list(mails.map(mailOf), stepsOmitted || mails.length > 0 ? '' : words.none)),
    section(
      t.webhooks,
      list(deliveries.map(deliveryOf), stepsOmitted || deliveries.length > 0 ? '' : words.none),
    ),
    notesOf(details, reload),
  ];
}

/** @param {string} title @param {Node} content */
const section = (title, content) =>
  element('section', { class: 'order-section card-box' }, element('h2', {}, title), content);

/** @param {Node[]} items @param {string} note */
const list = (items, note) =>
  element(
    'div',
    {},
    items.length > 0 ? element('ul', { class: 'log' }, ...items) : '',
    note ? element('p', { class: 'muted' }, note) : '',
  );

/** @param {OrderDetails} details */
function facts({ order, sale, keptBack, suspicion }) {
  const { order: t, words } = texts;
  const chip = element(
    'span',
    { class: 'chip', 'data-status': order.status },
    storefront.orderStatus[order.status],
  );
  const state = element(
    'span',
    { class: 'outcome', 'data-testid': 'order-state' },
    chip,
    stateText(order, keptBack),
  );
  /** @type {[string, Node | string][]} */
  const all = [
    [t.state, state],
    [words.buyer, order.name ?? (order.email === null ? t.noAccount : '')],
    [words.email, order.email ?? '–'],
    [words.amount, amountOf(order)],
    [words.sale, saleLink(order, sale)],
    [t.orderId, element('code', {}, order.id)],
    [t.buyerId, element('code', {}, order.buyerId)],
  ];
  if (suspicion) all.push([words.lookBeforeShipping, suspicionText(suspicion)]);
  return element(
    'dl',
    { class: 'report order-facts' },
    ...all.map(([name, value]) => element('div', {}, element('dt', {}, name), element('dd', {}, value))),
  );
}

/** @param {AdminOrder} order @param {boolean} keptBack */
function stateText({ reason, cancelledBy, cancelReason }, keptBack) {
  if (reason) return reasonText(reason);
  const kept = keptBack ? texts.order.keptBack : '';
  return [byWhom(cancelledBy), cancelReasonText(cancelReason), kept].filter(Boolean).join(' · ');
}

/** @param {OrderStep['cancelledBy'] | undefined} canceller */
const byWhom = (canceller) =>
  canceller ? (canceller === 'buyer' ? texts.orders.byBuyer : texts.orders.byShop) : '';

/** @param {AdminOrder} order @param {OrderDetails['sale']} sale */
function saleLink({ saleId }, sale) {
  return element('a', { href: `#sale/${encodeURIComponent(saleId)}` }, sale?.product.name ?? saleId);
}

/** @param {NonNullable<OrderDetails['suspicion']>} suspicion */
function suspicionText(suspicion) {
  const text = sharedBy(suspicion);
  return suspicion.state === 'marked' ? text : texts.order.cleared(text);
}

/** @param {OrderDetails} details */
function linesOf({ order, sale }) {
  const items = order.lines.map(({ itemId, label, quantity, amount }) => {
    const item = sale?.items.find(({ id }) => id === itemId);
    const name = [item?.product.name ?? sale?.product.name ?? '', label || (item?.label ?? '')];
    const price =
      amount === null || order.currency === null ? '' : money({ amount, currency: order.currency });
    return logLine(`${number(quantity)} × ${name.filter(Boolean).join(' · ')}`, price);
  });
  return list(items, '');
}

/** @param {string} text @param {string} aside */
const logLine = (text, aside) =>
  element('li', {}, element('span', {}, text), element('span', { class: 'muted' }, aside));

/** @param {string} at @param {string} text */
const stepLine = (at, text) => logLine(text, exactTime(at));

/** What an event of an order says; an event of another kind is named as in the log. @param {string} type */
const eventText = (type) =>
  Object.hasOwn(texts.order.steps, type) ? (texts.order.steps[type] ?? type) : type;

/** @param {OrderStep} step */
function stepOf({ at, type, reason, cancelledBy, keptBack }) {
  const { order: t } = texts;
  const step = eventText(type);
  const done = cancelledBy === null ? step : t.by(step, byWhom(cancelledBy));
  const why = type === 'order.rejected' && reason ? reasonText(reason) : cancelReasonText(reason);
  const text = why ? texts.faultOf(done, why) : done;
  return stepLine(at, keptBack ? `${text} (${t.keptBack})` : text);
}

/** @param {OrderDetails} details */
function paymentsOf({ payments }) {
  const lines = payments.flatMap((payment) => [
    paymentLine(payment),
    ...payment.refunds.map(refundLine(payment)),
  ]);
  const box = section(texts.order.payments, list(lines, ''));
  box.dataset.testid = 'payments';
  return box;
}

/** An error of a provider, which is in English. @param {string | null} error */
const lastAttempt = (error) => error && `${texts.order.lastAttempt} ${error}`;

/** @param {OrderPayment} payment */
function paymentLine({ provider, providerId, state, amount, currency, createdAt, capturedAt, error }) {
  const aside = [providerId, dateTime(capturedAt ?? createdAt), lastAttempt(error)];
  const text = texts.order.payment(money({ amount, currency }), provider, texts.order.paymentStates[state]);
  return logLine(text, aside.filter(Boolean).join(' · '));
}

/** @param {OrderPayment} payment @returns {(refund: OrderPayment['refunds'][number]) => HTMLElement} */
const refundLine =
  ({ currency }) =>
  ({ amount, reason, state, error, requestedAt }) => {
    const aside = [dateTime(requestedAt), lastAttempt(error)].filter(Boolean).join(' · ');
    const line = logLine(
      `↩ ${money({ amount, currency })} ${texts.faultOf(texts.order.refundStates[state], reason)}`,
      aside,
    );
    line.classList.toggle('failure', state === 'failed');
    return line;
  };

/** @param {OrderMail} mail */
function mailOf({ type, state, at, attempts, answer }) {
  const tries = attempts > 1 ? texts.order.attempts(attempts) : '';
  const aside = [answer, tries, at ? dateTime(at) : ''].filter(Boolean).join(' · ');
  return logLine(texts.order.mailAbout(eventText(type), texts.order.mailStates[state]), aside);
}

/** @param {OrderDelivery} delivery */
function deliveryOf({ url, type, state, status, error, attempts }) {
  const tries = attempts > 1 ? texts.order.attempts(attempts) : '';
  const aside = [status === null ? '' : `HTTP ${status}`, error, tries].filter(Boolean).join(' · ');
  return logLine(texts.order.deliveryTo(type, url, texts.order.deliveryStates[state]), aside);
}

/** @param {OrderDetails} details @param {() => Promise<void>} reload */
function notesOf({ order, notes }, reload) {
  const { order: t } = texts;
  const text = element('textarea', { name: 'text', rows: '3', maxlength: '2000', required: true });
  const add = element('button', { class: 'small', 'data-testid': 'add-note' }, t.addNote);
  const form = element(
    'form',
    { class: 'form note-form' },
    element('label', {}, t.newNote, text),
    element('div', { class: 'actions' }, add),
  );
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    if (add.disabled) return;
    add.disabled = true;
    try {
      await addNote(order.id, text.value);
      await reload();
    } catch (error) {
      toast(errorText(error));
    } finally {
      add.disabled = false;
    }
  });
  const items = notes.map(({ text, at, by }) =>
    element(
      'li',
      { class: 'note' },
      element('p', { dir: 'auto' }, text),
      element('span', { class: 'muted' }, `${by} · ${dateTime(at)}`),
    ),
  );
  return element(
    'section',
    { class: 'order-section card-box', 'data-testid': 'notes' },
    subheading(t.notes),
    items.length > 0 ? element('ul', { class: 'log' }, ...items) : '',
    order.status === 'queued' ? '' : form,
  );
}
