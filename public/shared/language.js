/**
 * The reader's language and locale, which the server chose for this page (server/pages/reader.ts): the language chosen on the
 * account's page, or else the first of the browser's that the pages are translated into.
 */

const supported = /** @type {const} */ (['en', 'de', 'fr']);

/** The server uses the texts as well, and has no document. @type {{ document?: { documentElement: { lang: string, dataset: Record<string, string | undefined> } } }} */
const { document } = /** @type {any} */ (globalThis);
const page = document?.documentElement;

export const languageNames = { en: 'English', de: 'Deutsch', fr: 'Français' };

export const language = supported.find((one) => one === page?.lang) ?? 'en';

/** The languages of the shop's pages. */
export const offered = supported.filter((one) =>
  (page?.dataset.languages ?? supported.join(' ')).includes(one),
);

/** The reader's locale of numbers and dates, e.g. `en-GB`. */
export const locale = page?.dataset.locale ?? language;

/** The locale of prices: the reader's, and in the control room the shop's, in which all staff type them. */
export const moneyLocale = page?.dataset.moneyLocale ?? locale;

/** The shop's time zone, e.g. `Europe/Berlin`. */
export const timeZone = page?.dataset.timeZone ?? Intl.DateTimeFormat().resolvedOptions().timeZone;
