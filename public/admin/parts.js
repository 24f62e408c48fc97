/** Small things that several views of the control room are made of. */

import { element } from '../shared/dom.js';
import { toast } from '../shared/toast.js';
import { inWords } from './ask.js';

/** @param {string} testId @param {string[]} titles */
export function table(testId, titles) {
  const body = element('tbody');
  const heads = titles.map((title) => element('th', { scope: 'col' }, title));
  const root = element(
    'div',
    // A wide table scrolls in its box, and the box can be scrolled from the keyboard.
    { class: 'table card-box', tabindex: '0', role: 'region', 'aria-label': titles[0] ?? '' },
    element('table', { 'data-testid': testId }, element('thead', {}, element('tr', {}, ...heads)), body),
  );
  return { root, body };
}

/** How many watch a sale, by the figures. @param {Record<string, number>} people @param {string} saleId */
export const peopleAt = (people, saleId) => (Object.hasOwn(people, saleId) ? (people[saleId] ?? 0) : 0);

/** Rows that have not changed are left alone: the focus and a selection in them stay.
 * @param {HTMLElement} body @param {(Node | string)[][]} rows */
export function replaceRows(body, rows) {
  const drawn = rows.map((cells) => element('tr', {}, ...cells.map((cell) => element('td', {}, cell))));
  drawn.forEach((row, n) => {
    const before = body.children[n];
    if (!before) body.append(row);
    else if (!before.isEqualNode(row)) before.replaceWith(row);
  });
  while (body.children.length > rows.length) body.lastElementChild?.remove();
}

/**
 * A button that does something in the shop, once at a time, and says what went wrong.
 * @param {string} text @param {() => Promise<unknown>} act @param {Record<string, string>} [attributes]
 */
export function action(text, act, attributes = {}) {
  const button = element('button', { type: 'button', class: 'small', ...attributes }, text);
  button.addEventListener('click', async () => {
    if (button.disabled) return;
    button.disabled = true;
    try {
      await act();
    } catch (error) {
      toast(inWords(error));
    } finally {
      button.disabled = false;
    }
  });
  return button;
}

/** @param {string} title @param {...(Node | string)} aside */
export const heading = (title, ...aside) => headed('h1', title, aside);

/** @param {string} title @param {...(Node | string)} aside */
export const subheading = (title, ...aside) => headed('h2', title, aside);

/** @param {'h1' | 'h2'} level @param {string} title @param {(Node | string)[]} aside */
const headed = (level, title, aside) =>
  element(
    'header',
    { class: 'view-head' },
    element(level, {}, title),
    element('div', { class: 'actions' }, ...aside),
  );
