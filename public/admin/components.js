/** UI components that several views of the control room use. */

import { element } from '../shared/dom.js';
import { toast } from '../shared/toast.js';
import { errorText } from './http.js';

/** @param {string} testId @param {string[]} titles @param {string} [name] what it lists */
export function table(testId, titles, name = titles[0] ?? '') {
  const body = element('tbody');
  const heads = titles.map((title) => element('th', { scope: 'col' }, title));
  const root = element(
    'div',
    // The tabindex makes a table that is too wide scrollable by keyboard.
    { class: 'table card-box', tabindex: '0', role: 'region', 'aria-label': name },
    element('table', { 'data-testid': testId }, element('thead', {}, element('tr', {}, ...heads)), body),
  );
  return { root, body };
}

/** How many people watch a sale, from the figures. @param {Record<string, number>} people @param {string} saleId */
export const peopleAt = (people, saleId) => (Object.hasOwn(people, saleId) ? (people[saleId] ?? 0) : 0);

/** Whoever typed it may write from right to left, which must not turn the row around. @param {Node | string} cell */
function directed(cell) {
  if (cell instanceof HTMLAnchorElement) cell.dir = 'auto';
  return typeof cell === 'string' && cell !== '' ? element('bdi', {}, cell) : cell;
}

/** Replaces only rows that changed, so that focus and selection are kept.
 * @param {HTMLElement} body @param {(Node | string)[][]} rows */
export function replaceRows(body, rows) {
  // Each cell names its column, because a narrow screen shows rows as cards without the head.
  const titles = [...(body.parentElement?.querySelectorAll('th') ?? [])].map(
    (head) => head.textContent ?? '',
  );
  const drawn = rows.map((cells) =>
    element('tr', {}, ...cells.map((cell, n) => element('td', { 'data-label': titles[n] }, directed(cell)))),
  );
  drawn.forEach((row, n) => {
    const before = body.children[n];
    if (!before) body.append(row);
    else if (!before.isEqualNode(row)) before.replaceWith(row);
  });
  while (body.children.length > rows.length) body.lastElementChild?.remove();
}

/**
 * A button that runs an action, ignores clicks meanwhile, and shows an error as a toast.
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
      toast(errorText(error));
    } finally {
      button.disabled = false;
    }
  });
  return button;
}

/** @param {[name: string, value: string][]} facts @param {string} testId @param {boolean} [areShort] */
export const factList = (facts, testId, areShort = false) =>
  element(
    'dl',
    { class: areShort ? 'report counts' : 'report', 'data-testid': testId },
    ...facts.map(([name, value]) =>
      element('div', {}, element('dt', {}, name), element('dd', { dir: 'auto' }, value)),
    ),
  );

/** What only programs say, which is in English: an error, a log line or the name of a field. @param {string} text */
export const technical = (text) => element('span', { lang: 'en', translate: 'no' }, text);

/** @param {string} title @param {...(Node | string)} aside */
export const heading = (title, ...aside) => headed('h1', title, aside);

/** @param {string} title @param {...(Node | string)} aside */
export const subheading = (title, ...aside) => headed('h2', title, aside);

/** @param {'h1' | 'h2'} level @param {string} title @param {(Node | string)[]} aside */
const headed = (level, title, aside) =>
  element(
    'header',
    { class: 'view-head' },
    element(level, { dir: 'auto' }, title),
    element('div', { class: 'actions' }, ...aside),
  );
