/** A line chart with a title, the latest values in its legend, and the page's colours. */

import { element, setText } from '../../shared/dom.js';
import { number, tick } from '../../shared/format.js';
import { texts } from '../texts.js';
import { isPlotLoaded, loadPlot } from './plot.js';

/**
 * @typedef {object} Line
 * @property {string} label
 * @property {string} color a custom property of the page, e.g. `--good`
 * @property {boolean} [fill]
 * @property {boolean} [dashed]
 * @property {boolean} [stepped]
 * @property {boolean} [dots] for values between gaps, which have no line
 * @property {(value: number) => string} [write] formats a value
 *
 * @typedef {(number | null)[]} Values
 */

const HEIGHT_PX = 210;
/** What is drawn are orders, units and milliseconds, of which there are no parts. */
const WHOLE_STEPS = Array.from({ length: 12 }, (_, n) => [1, 2, 5].map((step) => step * 10 ** n)).flat();

/** @param {string} title @param {Line[]} lines @param {{ height?: number, write?: (value: number) => string,
 *   summary?: (values: Values) => number | null | undefined }} [options] `summary` gives the value in the legend, by default the last */
export function chart(title, lines, { height = HEIGHT_PX, write = number, summary = lastOf } = {}) {
  const figures = lines.map(() => element('strong', {}, '–'));
  const legend = lines.map(({ label, color, dashed }, n) =>
    element(
      'span',
      { class: 'key', 'data-color': color.slice(2), 'data-dashed': dashed },
      `${label} `,
      figures[n] ?? '',
    ),
  );
  const host = element('div', { class: 'plot' });
  const root = element(
    'figure',
    { class: 'chart card-box', tabindex: '-1' },
    element('figcaption', {}, element('h2', {}, title), element('p', { class: 'legend' }, ...legend)),
    host,
  );
  host.style.height = `${height}px`;
  /** @type {import('uplot') | null} */
  let plot = null;
  let isClosed = false;
  /** Whether uPlot is loading, or could not be loaded. */
  let isLoading = false;
  /** @type {Values[]} */
  let data = [[], ...lines.map(() => [])];

  /** Stays the same node when it fails again, so that the button keeps the focus. */
  const missing = element(
    'div',
    { class: 'missing-plot' },
    element('p', { role: 'status' }, texts.charts.missing),
    element('button', { type: 'button', class: 'small' }, texts.words.tryAgain),
  );
  missing.querySelector('button')?.addEventListener('click', () => {
    isLoading = false;
    draw();
  });

  /** Calls while uPlot is loading need no drawing of their own: the first one draws the newest data. Once it is there for one chart, all draw. */
  async function draw() {
    if (isLoading && !isPlotLoaded()) return;
    isLoading = true;
    const uPlot = await loadPlot();
    // Its figures stay right without it; whoever wants the chart tries again.
    if (!uPlot) {
      if (!missing.isConnected) host.replaceChildren(missing);
      return;
    }
    isLoading = false;
    const hadFocus = missing.contains(document.activeElement);
    host.replaceChildren();
    if (hadFocus) root.focus();
    const width = host.clientWidth;
    if (width === 0 || isClosed) return;
    plot?.destroy();
    const stepped = uPlot.paths.stepped?.({ align: 1 });
    const options = optionsOf(root, lines, { width, height, write, stepped });
    plot = new uPlot(options, /** @type {never} */ (data), host);
  }
  const resized = new ResizeObserver(() => {
    if (plot && host.clientWidth > 0) plot.setSize({ width: host.clientWidth, height });
    else draw();
  });
  resized.observe(host);
  const scheme = matchMedia('(prefers-color-scheme: dark)');
  scheme.addEventListener('change', draw);

  return {
    root,
    /** @param {number[]} at seconds @param {...Values} values one list for each line */
    set(at, ...values) {
      data = [at, ...values];
      if (plot) plot.setData(/** @type {never} */ (data));
      else draw();
      lines.forEach((line, n) => {
        const last = summary(values[n] ?? []);
        const figure = figures[n];
        if (figure) setText(figure, typeof last === 'number' ? (line.write ?? write)(last) : '–');
      });
    },
    close() {
      isClosed = true;
      resized.disconnect();
      scheme.removeEventListener('change', draw);
      plot?.destroy();
    },
  };
}

/** @param {Values} values */
const lastOf = (values) => values.findLast((value) => value !== null);

/** The last one of ten seconds: an earlier one is not the present. @param {Values} values */
export const recentOf = (values) => lastOf(values.slice(-10));

/** @param {Values} values */
export const sumOf = (values) => values.reduce((/** @type {number} */ sum, value) => sum + (value ?? 0), 0);

/** Leaves out a label that equals the one before, as a time to the second or a rounded value does on a short axis.
 * @param {string[]} labels */
const unrepeated = (labels) => labels.map((label, n) => (label === labels[n - 1] ? '' : label));

/**
 * @param {Element} root @param {Line[]} lines
 * @param {{ width: number, height: number, write: (value: number) => string, stepped: import('uplot').Series.PathBuilder | undefined }} drawing
 * @returns {import('uplot').Options}
 */
function optionsOf(root, lines, { width, height, write, stepped }) {
  const style = getComputedStyle(root);
  const color = (/** @type {string} */ name) => style.getPropertyValue(name).trim();
  const axis = {
    stroke: color('--muted'),
    font: '12px system-ui, sans-serif',
    grid: { stroke: color('--line'), width: 1 },
    ticks: { show: false },
  };
  return {
    width,
    height,
    // Room for half of the last label of the time, and for half of the lowest one where there is no time.
    padding: [8, 30, 8, 0],
    legend: { show: false },
    cursor: { drag: { x: false, y: false }, points: { size: 6 } },
    scales: { y: { range: (_plot, _low, high) => [0, Math.max(1, (high ?? 0) * 1.12)] } },
    axes: [
      {
        ...axis,
        grid: { show: false },
        space: 90,
        size: 28,
        // Without any data the axis would begin in 1970.
        values: ({ data }, ticks) =>
          unrepeated(ticks.map((at) => (data[0].length > 0 ? tick(at * 1_000) : ''))),
      },
      {
        ...axis,
        size: 58,
        incrs: WHOLE_STEPS,
        values: (_plot, ticks) => unrepeated(ticks.map((value) => write(value))),
      },
    ],
    series: [
      {},
      ...lines.map((line) => ({
        label: line.label,
        stroke: color(line.color),
        width: 2,
        spanGaps: false,
        points: { show: line.dots === true, size: 4 },
        ...(line.fill && { fill: `color-mix(in srgb, ${color(line.color)} 16%, transparent)` }),
        ...(line.dashed && { dash: [6, 6], width: 1.5 }),
        ...(line.stepped && stepped && { paths: stepped }),
      })),
    ],
  };
}
