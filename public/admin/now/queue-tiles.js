/** The tiles with the figures of the queue, each with its age and with what the alerts think of it. */

/** @import { QueueFigures } from '../../../insight/contract.ts' */
/** @import { Part, openFigures } from '../live-figures.js' */

import { element, setText } from '../../shared/dom.js';
import { duration, number } from '../../shared/format.js';
import { ageOf } from '../health/age.js';
import { texts } from '../texts.js';
import { settledWithinMs, statesOf } from './queue-states.js';

/** @import { State } from './queue-states.js' */

export function queueTiles() {
  const tiles = {
    depth: tile(texts.tiles.depth, 'tile-queue', 'queue'),
    rates: tile(texts.tiles.rates, 'tile-rates', 'queue', 'double'),
    lag: tile(texts.tiles.lag, 'tile-lag', 'lag'),
    latency: tile(texts.tiles.latency, 'tile-p99', 'settling'),
    deadLetters: tile(texts.tiles.deadLetters, 'tile-dead-letters', 'queue'),
    success: tile(texts.tiles.success, 'tile-success', 'queue'),
  };

  return {
    all: Object.values(tiles),

    /** @param {QueueFigures} figures */
    set(figures) {
      const { depth, oldestMs, inPerSecond, outPerSecond, p50Ms, p99Ms, successRate } = figures;
      const states = statesOf(figures);
      const withinMs = settledWithinMs(figures);
      const { deadLetters, deadLetterGrowth } = figures;
      tiles.depth.set(number(depth), texts.oldest(duration(oldestMs)), states.depth);
      tiles.rates.set(`${tenths(inPerSecond)} · ${tenths(outPerSecond)}`, texts.lastTenSeconds);
      tiles.lag.set(...lagIn(figures), states.lag);
      tiles.latency.set(
        `${withinMs === p99Ms ? '' : '> '}${orDash(withinMs, duration)}`,
        texts.medianOfMinute(orDash(p50Ms, duration)),
        states.latency,
      );
      tiles.deadLetters.set(
        number(deadLetters),
        deadLetterGrowth === 0 ? texts.asManyLetters : texts.moreLetters(deadLetterGrowth),
        states.deadLetters,
      );
      tiles.success.set(orDash(successRate, percent), texts.ofAllAnswers, states.success);
    },
  };
}

const ICONS = { good: '✓', warn: '!', bad: '✕' };

/**
 * @param {string} label @param {string} testId @param {Part} part the part of the figures that it shows
 * @param {'double' | ''} [width]
 */
export function tile(label, testId, part, width = '') {
  const value = element('strong', { 'data-testid': testId }, '–');
  const note = element('span', { class: 'muted' });
  const mark = element('span', { class: 'tile-state' });
  const root = element('p', { class: `tile card-box ${width}` });
  const age = ageOf(root, part);
  root.append(element('span', { class: 'tile-label' }, label), mark, value, note, age.mark);
  return {
    root,
    age: age.draw,
    /**
     * @param {string} text @param {string} detail
     * @param {State | null} [state] none where no value is better than another, or nothing was measured
     */
    set(text, detail, state = null) {
      setText(value, text);
      setText(note, detail);
      if (state) root.dataset.state = state;
      else delete root.dataset.state;
      setText(mark, state ? `${ICONS[state]} ${texts.tileStates[state]}` : '');
    },
  };
}

/** @param {number | null} figure @param {(figure: number) => string} write */
const orDash = (figure, write) => (figure === null ? '–' : write(figure));
/** To a tenth, and from a hundred on whole. @param {number} figure */
const tenths = (figure) => number(figure < 100 ? Math.round(figure * 10) / 10 : Math.round(figure));
/** Rounded down, so that 99.99 % is not shown as 100 %. @param {number} share */
const percent = (share) => `${number(Math.floor(share * 1_000) / 10)} %`;

/** @param {QueueFigures} figures @returns {[string, string]} */
function lagIn({ lag }) {
  const [furthest] = Object.entries(lag).sort(([, one], [, other]) => other - one);
  if (!furthest) return ['–', texts.noSubscribers];
  const [subscriber, events] = furthest;
  return [number(events), texts.behind(subscriber)];
}
