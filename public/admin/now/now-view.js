/** The dashboard: figures, charts, sales, and running processes. */

/** @import { Alive, LiveFigures } from '../../../insight/contract.ts' */
/** @import { openFigures } from '../live-figures.js' */

import { element } from '../../shared/dom.js';
import { duration, number, relative } from '../../shared/format.js';
import { chart } from '../charts/chart.js';
import { replaceRows, table } from '../components.js';
import { refusedIn } from '../live-figures.js';
import { saleTable } from '../sales/sale-table.js';
import { queueTiles, tile } from './queue-tiles.js';

/** @param {string} _id @param {ReturnType<typeof openFigures>} figures */
export function openNowView(_id, figures) {
  const tiles = {
    people: tile('Sockets', 'tile-sockets'),
    alive: tile('Alive', 'tile-alive'),
  };
  const queueFigures = queueTiles();
  const rate = chart('Answers and orders a second', [
    { label: 'Paid', color: '--good', fill: true },
    { label: 'Rejected', color: '--wait' },
    { label: 'Refused at the gate', color: '--hot' },
  ]);
  const pace = chart(
    'From accepted to settled',
    [
      { label: 'p50', color: '--good' },
      { label: 'p99', color: '--hot' },
    ],
    { write: duration },
  );
  const queue = chart('Queue', [{ label: 'Purchases waiting', color: '--wait', fill: true, stepped: true }]);
  const age = chart('Age of the oldest purchase', [{ label: 'Oldest', color: '--hot', stepped: true }], {
    write: duration,
  });
  const processes = table('processes', ['Process', 'Sockets', 'Memory', 'Event loop lag', 'Started']);
  const sales = saleTable();
  const charts = element('div', { class: 'charts' }, rate.root, pace.root, queue.root, age.root);
  const root = element(
    'div',
    {},
    element('h1', { class: 'visually-hidden' }, 'Control room: now'),
    element(
      'div',
      { class: 'tiles' },
      ...queueFigures.roots,
      ...Object.values(tiles).map(({ root }) => root),
    ),
    charts,
    element('h2', {}, 'Sales'),
    sales.root,
    element('h2', {}, 'Processes'),
    processes.root,
  );

  /** @param {LiveFigures} news */
  function update(news) {
    const seconds = figures.seconds();
    const at = seconds.map(({ second }) => second);
    rate.set(
      at,
      seconds.map(({ paid }) => paid),
      seconds.map(({ rejected }) => rejected),
      seconds.map(refusedIn),
    );
    pace.set(
      at,
      seconds.map(({ p50Ms }) => p50Ms),
      seconds.map(({ p99Ms }) => p99Ms),
    );
    queue.set(
      at,
      seconds.map(({ queued }) => queued),
    );
    age.set(
      at,
      seconds.map(({ oldestMs }) => oldestMs),
    );
    updateTiles(news);
    sales.set(news);
    replaceRows(processes.body, [...news.living.map(lineOf), ...news.silent.map(silentLine)]);
  }

  /** @param {LiveFigures} news */
  function updateTiles({ figures: queued, living }) {
    const held = living.reduce((sum, { sockets: count = 0 }) => sum + count, 0);
    const servers = living.filter(({ role }) => role === 'server').length;
    queueFigures.set(queued);
    tiles.people.set(number(held), `on ${plural(servers, 'server')}`);
    tiles.alive.set(number(living.length), aliveIn(living));
  }

  return {
    root,
    update,
    close() {
      for (const drawn of [rate, pace, queue, age]) drawn.close();
    },
  };
}

/** @param {number} count @param {string} one */
const plural = (count, one) => `${number(count)} ${one}${count === 1 ? '' : 's'}`;

/** @param {Alive[]} living */
function aliveIn(living) {
  const servers = living.filter(({ role }) => role === 'server').length;
  return `${plural(servers, 'server')}, ${plural(living.length - servers, 'worker')}`;
}

/** A larger clock skew is shown, so that somebody sets the clock. No decision depends on it. */
const CLOCK_SKEW_SHOWN_MS = 1_000;

/** @param {number} aheadMs */
const skewIn = (aheadMs) => `, clock ${duration(Math.abs(aheadMs))} ${aheadMs > 0 ? 'ahead' : 'behind'}`;

/** @param {Alive} process */
function lineOf({ role, instance, sockets, memoryMb, lateMs, clockAheadMs = 0, startedAt }) {
  const skew = Math.abs(clockAheadMs) > CLOCK_SKEW_SHOWN_MS ? skewIn(clockAheadMs) : '';
  return [
    element('span', {}, element('span', { class: 'dot', 'data-role': role }), `${role} ${instance}${skew}`),
    sockets === undefined ? '–' : number(sockets),
    `${number(memoryMb)} MB`,
    duration(lateMs),
    relative(startedAt),
  ];
}

/** @param {string} id */
function silentLine(id) {
  return [element('span', { class: 'failure' }, element('span', { class: 'dot' }), id), 'silent', '', '', ''];
}
