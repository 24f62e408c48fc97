/** The reader's language: the first of the browser's preferred languages that the page is translated into. */

const supported = /** @type {const} */ (['en', 'de', 'fr']);

const { language: only, locale: shopLocale, timeZone: shopTimeZone } = document.documentElement.dataset;

/** The control room has one language, which it names in `data-language`. */
const isSupported = (/** @type {string} */ tag) =>
  supported.some((one) => one === tag.slice(0, 2).toLowerCase() && (!only || one === only));

const wanted = navigator.languages.find(isSupported) ?? 'en';

export const language = supported.find((one) => one === wanted.slice(0, 2).toLowerCase()) ?? 'en';

/** The locale of numbers, prices and dates, e.g. `en-GB`: the reader's, and in the control room the shop's. */
export const locale = only ? (shopLocale ?? navigator.language) : wanted;

/** The shop's time zone, e.g. `Europe/Berlin`. */
export const timeZone = shopTimeZone ?? Intl.DateTimeFormat().resolvedOptions().timeZone;
