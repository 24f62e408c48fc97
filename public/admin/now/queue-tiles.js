/** Six tiles with the figures for operating the queue: depth, rates, lag, latency, dead letters, success rate. */

/** @import { QueueFigures } from '../../../insight/contract.ts' */

import { element, setText } from '../../shared/dom.js';
import { duration, number } from '../../shared/format.js';

export function queueTiles() {
  const tiles = {
    depth: tile('Queue depth', 'tile-queue'),
    rates: tile('In and out a second', 'tile-rates'),
    lag: tile('Consumer lag', 'tile-lag'),
    latency: tile('Settled within (p99)', 'tile-p99'),
    deadLetters: tile('Dead letters', 'tile-dead-letters'),
    success: tile('Success rate', 'tile-success'),
  };

  return {
    roots: Object.values(tiles).map(({ root }) => root),

    /** @param {QueueFigures} figures */
    set(figures) {
      const { depth, oldestMs, inPerSecond, outPerSecond, p50Ms, p99Ms, successRate } = figures;
      tiles.depth.set(number(depth), `oldest ${duration(oldestMs)}`);
      tiles.rates.set(`${tenths(inPerSecond)} · ${tenths(outPerSecond)}`, 'over the last 10 s');
      tiles.lag.set(...lagIn(figures));
      tiles.latency.set(
        errorText(p99Ms, duration),
        `p50 ${errorText(p50Ms, duration)}, over the last minute`,
      );
      tiles.deadLetters.set(number(figures.deadLetters), growthIn(figures));
      tiles.success.set(errorText(successRate, percent), 'of what ended within a minute');
    },
  };
}

/** @param {string} label @param {string} testId */
export function tile(label, testId) {
  const value = element('strong', { 'data-testid': testId }, '–');
  const note = element('span', { class: 'muted' });
  return {
    root: element(
      'p',
      { class: 'tile card-box' },
      element('span', { class: 'tile-label' }, label),
      value,
      note,
    ),
    /** @param {string} text @param {string} detail */
    set(text, detail) {
      setText(value, text);
      setText(note, detail);
    },
  };
}

/** @param {number | null} figure @param {(figure: number) => string} write */
const errorText = (figure, write) => (figure === null ? '–' : write(figure));
/** @param {number} figure */
const tenths = (figure) => number(Math.round(figure * 10) / 10);
/** Rounded down, so that 99.99 % is not shown as 100 %. @param {number} share */
const percent = (share) => `${number(Math.floor(share * 1_000) / 10)} %`;

/** @param {QueueFigures} figures @returns {[string, string]} */
function lagIn({ lag }) {
  const [furthest] = Object.entries(lag).sort(([, one], [, other]) => other - one);
  return furthest ? [number(furthest[1]), `events behind: ${furthest[0]}`] : ['–', 'no subscribers'];
}

/** @param {QueueFigures} figures */
function growthIn({ deadLetterGrowth }) {
  if (deadLetterGrowth === 0) return 'as many as five minutes ago';
  const difference = number(Math.abs(deadLetterGrowth));
  return `${difference} ${deadLetterGrowth > 0 ? 'more' : 'fewer'} than five minutes ago`;
}
