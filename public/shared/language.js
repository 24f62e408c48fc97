/** The reader's language: the first of the browser's preferred languages that the page is translated into. */

const supported = /** @type {const} */ (['en', 'de', 'fr']);

/** The control room has one language, which it names in `data-language`. */
const { language: only } = document.documentElement.dataset;

const isSupported = (/** @type {string} */ tag) =>
  supported.some((one) => one === tag.slice(0, 2).toLowerCase() && (!only || one === only));

const wanted = navigator.languages.find(isSupported) ?? 'en';

export const language = supported.find((one) => one === wanted.slice(0, 2).toLowerCase()) ?? 'en';

/** The preferred locale, e.g. `en-GB`, for numbers, prices and dates. */
export const locale = only ? navigator.language : wanted;
