/** One order: its lines, steps, mails, webhooks and notes, and what staff can do about it. */

/** @import { AdminOrder, OrderDelivery, OrderDetails, OrderMail, OrderPayment, OrderStep } from '../../../insight/contract.ts' */

import { element, setText } from '../../shared/dom.js';
import { dateTime, exactTime, money, number } from '../../shared/format.js';
import { shortNumberOf } from '../../shared/items.js';
import { texts } from '../../shared/texts.js';
import { toast } from '../../shared/toast.js';
import { action, subheading } from '../components.js';
import { errorText } from '../http.js';
import { openCancelForm } from './cancel-form.js';
import { addNote, cancelOrder, fetchOrderDetails, sendMailAgain } from './desk-api.js';
import { amountOf, cancelReasonText, isCancellable, sharedBy } from './order-cells.js';
import { openRefundForm, refundableOf } from './refund-form.js';

/** @param {string} orderId */
export function openOrderView(orderId) {
  const short = shortNumberOf(orderId);
  const body = element('div', { class: 'order-details', 'data-testid': 'order-details' });
  const errorLine = element('p', { class: 'failure', role: 'status' });
  const cancel = action(
    'Cancel order',
    async () => {
      const done = await openCancelForm(1, (why) => cancelOrder(orderId, why));
      if (done) toast(`Order ${short} is cancelled`);
      await load();
    },
    { class: 'small danger', 'data-testid': 'cancel' },
  );
  const mail = action(
    'Send its mail again',
    async () => {
      await sendMailAgain(orderId);
      toast('The mail is sent again');
      await load();
    },
    { 'data-testid': 'mail-again' },
  );
  /** @type {OrderDetails | null} */
  let shown = null;
  const refund = action(
    'Give money back',
    async () => {
      const payment = shown && refundableOf(shown);
      if (payment && (await openRefundForm(orderId, payment))) toast('The money goes back');
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
        element('h1', {}, `Order ${short}`),
        element('div', { class: 'actions' }, cancel, refund, mail, action('Look again', load)),
      ),
      errorLine,
      body,
    ),
  };
}

/** @param {OrderDetails} details @param {() => Promise<void>} reload @returns {Node[]} */
function sectionsOf(details, reload) {
  const { order, stepsOmitted, mails, deliveries } = details;
  return [
    facts(details),
    section('Lines', linesOf(details)),
    section(
      'What happened',
      list(
        [stepLine(order.createdAt, 'Accepted'), ...details.steps.map(stepOf)],
        stepsOmitted ? 'The sale’s log is too long to read now. Look again later.' : '',
      ),
    ),
    ...(details.payments.length > 0 ? [paymentsOf(details)] : []),
    section('Mails', list(mails.map(mailOf), stepsOmitted || mails.length > 0 ? '' : 'None.')),
    section(
      'Webhooks',
      list(deliveries.map(deliveryOf), stepsOmitted || deliveries.length > 0 ? '' : 'None.'),
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
  const chip = element(
    'span',
    { class: 'chip', 'data-status': order.status },
    texts.orderStatus[order.status],
  );
  const state = element(
    'span',
    { class: 'outcome', 'data-testid': 'order-state' },
    chip,
    stateText(order, keptBack),
  );
  /** @type {[string, Node | string][]} */
  const all = [
    ['State', state],
    ['Buyer', order.name ?? (order.email === null ? 'No account' : '')],
    ['E-mail', order.email ?? '–'],
    ['Amount', amountOf(order)],
    ['Sale', saleLink(order, sale)],
    ['Order id', element('code', {}, order.id)],
    ['Buyer id', element('code', {}, order.buyerId)],
  ];
  if (suspicion) all.push(['Look before shipping', suspicionText(suspicion)]);
  return element(
    'dl',
    { class: 'report order-facts' },
    ...all.map(([name, value]) => element('div', {}, element('dt', {}, name), element('dd', {}, value))),
  );
}

/** @param {AdminOrder} order @param {boolean} keptBack */
function stateText({ reason, cancelledBy, cancelReason }, keptBack) {
  if (reason) return reason;
  const who = cancelledBy === 'buyer' ? 'by the buyer' : cancelledBy === 'staff' ? 'by the shop' : '';
  return [who, cancelReasonText(cancelReason), keptBack ? 'units kept back' : ''].filter(Boolean).join(' · ');
}

/** @param {AdminOrder} order @param {OrderDetails['sale']} sale */
function saleLink({ saleId }, sale) {
  return element('a', { href: `#sale/${encodeURIComponent(saleId)}` }, sale?.product.name ?? saleId);
}

/** @param {NonNullable<OrderDetails['suspicion']>} suspicion */
function suspicionText(suspicion) {
  const text = sharedBy(suspicion);
  return suspicion.state === 'marked' ? text : `${text}; looked at and cleared`;
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

const stepTexts = {
  'order.held': 'Held until paid',
  'order.paid': 'Paid',
  'order.rejected': 'Rejected',
  'order.cancelled': 'Cancelled',
  'order.expired': 'Not paid in time',
  'order.refunded': 'Refunded',
  'order.refund_failed': 'A refund failed',
};

/** @param {OrderStep} step */
function stepOf({ at, type, reason, cancelledBy, keptBack }) {
  const by = cancelledBy === null ? '' : cancelledBy === 'buyer' ? ' by the buyer' : ' by the shop';
  const why = reason ? `: ${reason}` : '';
  return stepLine(at, `${stepTexts[type]}${by}${why}${keptBack ? ' (units kept back)' : ''}`);
}

/** @param {OrderDetails} details */
function paymentsOf({ payments }) {
  const lines = payments.flatMap((payment) => [
    paymentLine(payment),
    ...payment.refunds.map(refundLine(payment)),
  ]);
  const box = section('Payments', list(lines, ''));
  box.dataset.testid = 'payments';
  return box;
}

const paymentTexts = {
  started: 'begun, not paid',
  failed: 'refused, may be tried again',
  authorised: 'authorised, the money is being taken',
  voided: 'ended without money',
  captured: 'paid',
  refunded: 'paid, and all of it given back',
};

/** @param {OrderPayment} payment */
function paymentLine({ provider, providerId, state, amount, currency, createdAt, capturedAt, error }) {
  const aside = [providerId, dateTime(capturedAt ?? createdAt), error && `last attempt: ${error}`];
  const text = `${money({ amount, currency })} by ${provider}: ${paymentTexts[state]}`;
  return logLine(text, aside.filter(Boolean).join(' · '));
}

const refundTexts = {
  requested: 'asked for',
  pending: 'on its way',
  succeeded: 'given back',
  failed: 'failed for good: ask for another',
};

/** @param {OrderPayment} payment @returns {(refund: OrderPayment['refunds'][number]) => HTMLElement} */
const refundLine =
  ({ currency }) =>
  ({ amount, reason, state, error, requestedAt }) => {
    const aside = [dateTime(requestedAt), error && `last attempt: ${error}`].filter(Boolean).join(' · ');
    const line = logLine(`↩ ${money({ amount, currency })} ${refundTexts[state]}: ${reason}`, aside);
    line.classList.toggle('failure', state === 'failed');
    return line;
  };

const mailTexts = {
  sent: 'sent',
  waiting: 'waits to be sent',
  failed: 'failed for good',
  unsure: 'may have been delivered',
  skipped: 'not sent: no address is known',
  none: 'no record',
};

/** @param {OrderMail} mail */
function mailOf({ type, state, at, attempts, answer }) {
  const tries = attempts > 1 ? `${number(attempts)} attempts` : '';
  const aside = [answer, tries, at ? dateTime(at) : ''].filter(Boolean).join(' · ');
  return logLine(`About ${type}: ${mailTexts[state]}`, aside);
}

/** @param {OrderDelivery} delivery */
function deliveryOf({ url, type, state, status, error, attempts }) {
  const tries = attempts > 1 ? `${number(attempts)} attempts` : '';
  const aside = [status === null ? '' : `HTTP ${status}`, error, tries].filter(Boolean).join(' · ');
  return logLine(`${type} to ${url}: ${state}`, aside);
}

/** @param {OrderDetails} details @param {() => Promise<void>} reload */
function notesOf({ order, notes }, reload) {
  const text = element('textarea', { name: 'text', rows: '3', maxlength: '2000', required: true });
  const add = element('button', { class: 'small', 'data-testid': 'add-note' }, 'Add note');
  const form = element(
    'form',
    { class: 'form note-form' },
    element('label', {}, 'New note, which the buyer does not see', text),
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
      element('p', {}, text),
      element('span', { class: 'muted' }, `${by} · ${dateTime(at)}`),
    ),
  );
  return element(
    'section',
    { class: 'order-section card-box', 'data-testid': 'notes' },
    subheading('Notes'),
    items.length > 0 ? element('ul', { class: 'log' }, ...items) : '',
    order.status === 'queued' ? '' : form,
  );
}
