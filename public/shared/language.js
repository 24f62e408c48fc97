/** The reader's language: the first of those the browser asks for that the page speaks. */

const spoken = /** @type {const} */ (['en', 'de', 'fr']);

/** The shop's own pages are in one language, and say so. */
const { language: only } = document.documentElement.dataset;

const isSpoken = (/** @type {string} */ tag) =>
  spoken.some((one) => one === tag.slice(0, 2).toLowerCase() && (!only || one === only));

const wanted = navigator.languages.find(isSpoken) ?? 'en';

export const language = spoken.find((one) => one === wanted.slice(0, 2).toLowerCase()) ?? 'en';

/** As the reader wrote it, e.g. `en-GB`: numbers, prices and dates follow it. */
export const locale = only ? navigator.language : wanted;
