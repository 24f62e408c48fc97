/**
 * The reader's language: the one chosen on the account's page, or the first of the browser's preferred languages that the
 * page is translated into.
 */

const supported = /** @type {const} */ (['en', 'de', 'fr']);

const { language: only, locale: shopLocale, timeZone: shopTimeZone } = document.documentElement.dataset;

/** The control room has one language, which it names in `data-language`. */
const isSupported = (/** @type {string} */ tag) =>
  supported.some((one) => one === tag.slice(0, 2).toLowerCase() && (!only || one === only));

const CHOSEN = 'stampede.language';
const chosen = only ? null : storedChoice();

/** Without storage, which a browser may block, the browser's languages count. */
function storedChoice() {
  try {
    return localStorage.getItem(CHOSEN);
  } catch {
    return null;
  }
}

/** Takes effect with the next page. @param {string} wished */
export const chooseLanguage = (wished) => localStorage.setItem(CHOSEN, wished);

// A preferred locale of the chosen language is taken, because it also says the region.
const isChosen = (/** @type {string} */ tag) => !chosen || tag.slice(0, 2).toLowerCase() === chosen;
const wanted =
  navigator.languages.find((tag) => isSupported(tag) && isChosen(tag)) ??
  supported.find((one) => one === chosen) ??
  'en';

export const language = supported.find((one) => one === wanted.slice(0, 2).toLowerCase()) ?? 'en';

/** The locale of numbers, prices and dates, e.g. `en-GB`: the reader's, and in the control room the shop's. */
export const locale = only ? (shopLocale ?? navigator.language) : wanted;

/** The shop's time zone, e.g. `Europe/Berlin`. */
export const timeZone = shopTimeZone ?? Intl.DateTimeFormat().resolvedOptions().timeZone;
