/** Says how old a figure is, and marks it as stale. */

/** @import { Part, openFigures } from '../live-figures.js' */

import { element, setText } from '../../shared/dom.js';
import { duration } from '../../shared/format.js';
import { texts } from '../texts.js';

/** @param {number} milliseconds in whole seconds, so that the text changes once a second */
const whole = (milliseconds) => duration(Math.round(milliseconds / 1_000) * 1_000).replace(/^0 ms$/, '0 s');

/**
 * @param {HTMLElement} root gets `data-stale` while the part is too old
 * @param {Part} part
 */
export function ageOf(root, part) {
  const mark = element('span', { class: 'age', 'data-testid': 'age' });
  return {
    mark,
    /** @param {ReturnType<typeof openFigures>} figures */
    draw(figures) {
      const age = figures.age(part);
      const isStale = figures.isStale(part);
      root.toggleAttribute('data-stale', isStale);
      if (age === null) setText(mark, isStale ? texts.neverRead : '');
      else setText(mark, isStale ? texts.stale(whole(age)) : texts.aged(whole(age)));
    },
  };
}
