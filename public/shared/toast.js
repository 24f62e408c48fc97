/** A short message at the edge of the page that disappears by itself. A new one replaces the last one. */

import { element, setText } from './dom.js';

const SHOWN_MS = 5_000;

const place = element('div', { class: 'toast', role: 'status', 'data-testid': 'toast' });
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;

export const mountToast = () => document.body.append(place);

/** @param {string} text */
export function toast(text) {
  clearTimeout(timer);
  setText(place, text);
  place.dataset.shown = '';
  timer = setTimeout(() => {
    delete place.dataset.shown;
    place.textContent = '';
  }, SHOWN_MS);
}
