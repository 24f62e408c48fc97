/** The dashboard: figures, charts, sales, and running processes. */

/** @import { Alive, LiveFigures } from '../../../insight/contract.ts' */
/** @import { openFigures } from '../live-figures.js' */

import { element } from '../../shared/dom.js';
import { duration, number, relative } from '../../shared/format.js';
import { chart, recentOf } from '../charts/chart.js';
import { heading, replaceRows, table } from '../components.js';
import { ageOf } from '../health/age.js';
import { acceptedIn, refusedIn } from '../live-figures.js';
import { saleTable } from '../sales/sale-table.js';
import { texts } from '../texts.js';
import { queueTiles, tile } from './queue-tiles.js';

/** @import { SecondFigures } from '../../../insight/contract.ts' */

/** Each chart of the last five minutes, and what its lines show of a second. */
const charts = () => {
  const { charts: t } = texts;
  const live = { summary: recentOf };
  const inMs = { ...live, write: duration };
  return [
    {
      drawn: chart(
        t.answers,
        [
          { label: t.accepted, color: '--good', fill: true },
          { label: t.refused, color: '--wait' },
          { label: t.faults, color: '--hot' },
        ],
        live,
      ),
      lines: [acceptedIn, refusedIn, (/** @type {SecondFigures} */ { answers }) => faultsIn(answers)],
    },
    {
      drawn: chart(
        t.orders,
        [
          { label: t.held, color: '--wait' },
          { label: t.paid, color: '--good', fill: true },
          { label: t.rejected, color: '--hot' },
          { label: t.expired, color: '--muted' },
          { label: t.cancelled, color: '--ink' },
          { label: t.refunded, color: '--ink', dashed: true },
        ],
        live,
      ),
      lines: [
        countOf('held'),
        countOf('paid'),
        countOf('rejected'),
        countOf('expired'),
        countOf('cancelled'),
        countOf('refunded'),
      ],
    },
    {
      drawn: chart(
        t.allFaults,
        [
          { label: t.byServers, color: '--hot', fill: true },
          { label: t.byNginx, color: '--wait' },
        ],
        live,
      ),
      lines: [
        (/** @type {SecondFigures} */ { faults }) => faults?.servers ?? 0,
        (/** @type {SecondFigures} */ { faults }) => faults?.nginx ?? 0,
      ],
    },
    {
      drawn: chart(
        t.pace,
        [
          { label: 'p50', color: '--good', dots: true },
          { label: 'p99', color: '--hot', dots: true },
        ],
        inMs,
      ),
      lines: [countOf('p50Ms'), countOf('p99Ms')],
    },
    {
      drawn: chart(t.queue, [{ label: t.waiting, color: '--wait', fill: true, stepped: true }], live),
      lines: [countOf('queued')],
    },
    {
      drawn: chart(t.age, [{ label: t.oldest, color: '--hot', stepped: true }], inMs),
      lines: [countOf('oldestMs')],
    },
  ];
};

/** @param {'held' | 'paid' | 'rejected' | 'expired' | 'cancelled' | 'refunded' | 'p50Ms' | 'p99Ms' | 'queued' | 'oldestMs'} count */
const countOf = (count) => (/** @type {SecondFigures} */ second) => second[count] ?? null;

/** @param {Record<string, number>} answers */
const faultsIn = ({ busy = 0, unconfirmed = 0, fault = 0 }) => busy + unconfirmed + fault;

/** @param {string} _id @param {ReturnType<typeof openFigures>} figures */
export function openNowView(_id, figures) {
  const tiles = {
    holds: tile(texts.tiles.holds, 'tile-holds', 'money'),
    people: tile(texts.tiles.people, 'tile-sockets', 'processes'),
    alive: tile(texts.tiles.alive, 'tile-alive', 'processes'),
  };
  const queueFigures = queueTiles();
  const drawnCharts = charts();
  const processes = table('processes', texts.processColumns);
  const sales = saleTable();
  const chartBox = element('div', { class: 'charts' }, ...drawnCharts.map(({ drawn }) => drawn.root));
  const chartAge = ageOf(chartBox, 'seconds');
  const salesAge = ageOf(sales.root, 'sales');
  const processAge = ageOf(processes.root, 'processes');
  const allTiles = [...queueFigures.all, ...Object.values(tiles)];
  const root = element(
    'div',
    {},
    heading(texts.nowTitle),
    element('div', { class: 'tiles' }, ...allTiles.map(({ root }) => root)),
    element('p', { class: 'section-age' }, chartAge.mark),
    chartBox,
    element('h2', {}, texts.sales, ' ', salesAge.mark),
    sales.root,
    element('h2', {}, texts.processes, ' ', processAge.mark),
    processes.root,
  );

  /** @param {LiveFigures} news */
  function update(news) {
    const seconds = figures.seconds();
    const at = seconds.map(({ second }) => second);
    for (const { drawn, lines } of drawnCharts) drawn.set(at, ...lines.map((line) => seconds.map(line)));
    updateTiles(news);
    sales.set(news);
    replaceRows(processes.body, [...news.living.map(lineOf), ...news.silent.map(silentLine)]);
  }

  /** @param {LiveFigures} news */
  function updateTiles({ figures: queued, money, living, silent }) {
    const sockets = living.reduce((sum, { sockets: count = 0 }) => sum + count, 0);
    const servers = living.filter(({ role }) => role === 'server').length;
    const workers = living.length - servers;
    if (queued) queueFigures.set(queued);
    if (money) {
      const { holds, failedRefunds, dueMs } = money;
      const isLate = dueMs > LATE_PAYMENT_MS;
      tiles.holds.set(number(holds), noteOf(money), failedRefunds > 0 || isLate ? 'bad' : 'good');
    }
    tiles.people.set(number(sockets), texts.onServers(servers));
    const gone = silent.length > 0 ? [texts.gone(silent.length)] : [];
    tiles.alive.set(
      number(living.length),
      [texts.servers(servers), texts.workers(workers), ...gone].join(', '),
      servers === 0 || workers === 0 ? 'bad' : silent.length > 0 ? 'warn' : 'good',
    );
  }

  return {
    root,
    update,
    drawAges() {
      for (const { age } of allTiles) age(figures);
      for (const age of [chartAge, salesAge, processAge]) age.draw(figures);
    },
    close() {
      for (const { drawn } of drawnCharts) drawn.close();
    },
  };
}

/** @param {NonNullable<LiveFigures['money']>} money */
function noteOf({ failedRefunds, dueMs }) {
  if (failedRefunds > 0) return texts.failedRefunds(failedRefunds);
  return dueMs > 0 ? texts.paymentsDue(duration(dueMs)) : texts.noPaymentDue;
}

/** As the alert PaymentsDue has it: see ops/alerts.yml. */
const LATE_PAYMENT_MS = 300_000;

/** A larger clock skew is shown, so that somebody sets the clock. No decision depends on it. */
const CLOCK_SKEW_SHOWN_MS = 1_000;

/** @param {number} aheadMs */
const skewIn = (aheadMs) => (aheadMs > 0 ? texts.clockAhead : texts.clockBehind)(duration(Math.abs(aheadMs)));

/** @param {Alive} process */
function lineOf({ role, instance, sockets, memoryMb, lateMs, clockAheadMs = 0, startedAt }) {
  const skew = Math.abs(clockAheadMs) > CLOCK_SKEW_SHOWN_MS ? skewIn(clockAheadMs) : '';
  return [
    element(
      'span',
      {},
      element('span', { class: 'dot', 'data-role': role }),
      `${texts.processRoles[role]} ${instance}${skew}`,
    ),
    sockets === undefined ? '–' : number(sockets),
    `${number(memoryMb)} MB`,
    duration(lateMs),
    relative(startedAt),
  ];
}

/** A process that has died is struck out, and leaves the list a minute later. @param {string} id */
function silentLine(id) {
  const name = element('span', { class: 'failure' }, element('span', { class: 'dot' }), element('s', {}, id));
  return [name, texts.noHeartbeat, '–', '–', '–'];
}
