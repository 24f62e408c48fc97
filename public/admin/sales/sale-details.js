/** The view of one sale: its controls and its report. */

/** @import { LiveFigures, SaleReport } from '../../../insight/contract.ts' */
/** @import { SaleSnapshot } from '../../../sale/contract.ts' */

import { statusNow } from '../../sale/buy-state.js';
import { serverNow } from '../../shared/clock.js';
import { element, setText, show } from '../../shared/dom.js';
import { countdown, dateTime, number } from '../../shared/format.js';
import { saleName } from '../../shared/items.js';
import { texts as storefront } from '../../shared/texts.js';
import { downloadOrders, fetchMinutes, fetchReport } from '../api.js';
import { burnDown } from '../charts/burn-down.js';
import { minutesChart } from '../charts/minutes-chart.js';
import { downloadReportPicture } from '../charts/report-picture.js';
import { action, peopleAt, subheading } from '../components.js';
import { errorText } from '../http.js';
import { texts } from '../texts.js';
import { accessPanel } from './access-panel.js';
import { drawLine } from './draw-line.js';
import { itemTable } from './item-table.js';
import { rehearsalOf } from './rehearsal.js';
import { figuresOf } from './report.js';
import { roomPanel } from './room-panel.js';
import { saleButtons } from './sale-buttons.js';
import { priceText, soldAt } from './sale-table.js';

/** The report is computed from new events only, so polling it is cheap. */
const REPORT_EVERY_MS = 2_000;

/** @param {string} saleId */
export function openSaleDetails(saleId) {
  const { saleDetails: t } = texts;
  /** @type {SaleReport | null} */
  let report = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let again;
  let isClosed = false;
  let people = 0;
  const title = element('h1', { 'data-testid': 'sale-name' }, '…');
  const state = element('p', { class: 'sale-state' });
  const chart = burnDown(t.stock, { height: 300 });
  const items = itemTable();
  const drawing = drawLine(saleId);
  const byMinute = minutesChart(t.byMinute);
  const earlier = element('p', { class: 'muted', role: 'status' });
  const facts = element('dl', { class: 'report', 'data-testid': 'report' });
  const errorLine = element('p', { class: 'failure', role: 'status' });

  async function load() {
    clearTimeout(again);
    try {
      const [fresh, minutes] = await Promise.all([fetchReport(saleId), fetchMinutes(saleId)]);
      if (isClosed) return;
      report = fresh;
      chart.set(report);
      byMinute.set(minutes.minutes);
      setText(earlier, minutes.nextCursor === null ? '' : t.earlierMinutes);
      draw(report.sale);
      drawFacts(report);
      await drawing.draw(report.sale);
      await room.load(report.sale);
      await access.load(report.sale);
      setText(errorLine, '');
    } catch (error) {
      setText(errorLine, errorText(error));
    }
    clearTimeout(again);
    if (!isClosed) again = setTimeout(load, REPORT_EVERY_MS);
  }

  const rehearsal = rehearsalOf(saleId);
  const room = roomPanel(saleId, load);
  const access = accessPanel(saleId);
  const buttons = saleButtons(saleId, () => report?.sale ?? null, load, rehearsal.button);

  /** @param {SaleSnapshot} sale */
  function draw(sale) {
    const status = statusNow(sale, serverNow());
    setText(title, saleName(sale));
    const chip = element(
      'span',
      { class: 'chip', 'data-status': status, 'data-testid': 'sale-status' },
      storefront.saleStatus[status],
    );
    const { site } = sale;
    // Nothing is sold here in front of another site, so there is nothing to count or to report.
    for (const node of ofOrders) show(node, !site);
    const left = site
      ? element('a', { href: site.url, rel: 'noopener', target: '_blank' }, soldAt(site))
      : element(
          'strong',
          { 'data-testid': 'sale-left' },
          t.left(number(sale.stock), number(sale.unitsOnSale)),
        );
    const here = element('span', { class: 'muted' }, t.here(people));
    const next = [
      chip,
      left,
      ...(site ? [] : [element('span', {}, priceText(sale))]),
      element('span', { class: 'muted' }, momentOf(sale, status)),
      here,
    ];
    const drawn = element('p', {}, ...next);
    if (drawn.innerHTML !== state.innerHTML) state.replaceChildren(...next);
    items.set(sale, report);
    buttons.draw(sale, status);
  }

  /** @param {SaleReport} all */
  function drawFacts(all) {
    const lines = figuresOf(all).map(([name, value]) =>
      element('div', {}, element('dt', {}, name), element('dd', {}, value)),
    );
    facts.replaceChildren(...lines);
  }

  const picture = action(t.picture, async () => report && downloadReportPicture(report), {
    'data-testid': 'picture',
  });
  const csv = action(t.csv, () => downloadOrders(saleId), {
    'data-testid': 'csv',
    'data-needs': 'desk',
  });
  const watch = element(
    'a',
    { class: 'small', href: `/sales/${encodeURIComponent(saleId)}`, target: '_blank' },
    t.page,
  );
  const wall = element(
    'a',
    { class: 'small', href: `/ticker/${encodeURIComponent(saleId)}`, target: '_blank' },
    t.bigScreen,
  );
  const reported = element('span', { class: 'actions' }, picture, csv);
  const reportHead = subheading(t.report, reported, watch, wall);
  const reportTitle = /** @type {HTMLElement} */ (reportHead.firstElementChild);
  const ofOrders = [reportTitle, reported, chart.root, byMinute.root, earlier, facts];
  load();
  return {
    root: element(
      'div',
      { class: 'sale-details' },
      element('header', { class: 'view-head' }, title, element('div', { class: 'actions' }, ...buttons.all)),
      state,
      errorLine,
      drawing.root,
      room.root,
      access.root,
      items.root,
      chart.root,
      byMinute.root,
      earlier,
      reportHead,
      facts,
      rehearsal.root,
    ),
    /** @param {LiveFigures} news */
    update({ sales, people: watching }) {
      const sale = sales.find(({ id }) => id === saleId);
      people = peopleAt(watching, saleId);
      if (sale) draw(sale);
    },
    close() {
      isClosed = true;
      clearTimeout(again);
      rehearsal.close();
      chart.close();
      byMinute.close();
    },
  };
}

/** @param {SaleSnapshot} sale @param {string} status */
function momentOf({ opensAt, closesAt }, status) {
  const { saleDetails: t } = texts;
  if (status === 'called_off') return t.calledOff(dateTime(closesAt));
  if (status === 'ended') return t.ended(dateTime(closesAt));
  if (status === 'scheduled') return t.opens(dateTime(opensAt));
  return t.endsIn(countdown(Date.parse(closesAt) - serverNow()));
}
