/** Prices, numbers and times in the page's locale. */

import { formatsFor } from './formats.js';
import { language, locale, moneyLocale, timeZone } from './language.js';

export { pictureSizes, smallPicture } from './formats.js';
export const {
  countdown,
  shortCountdown,
  number,
  money,
  percent,
  tick,
  time,
  dateTime,
  longDateTime,
  moment,
  period,
} = formatsFor({
  locale,
  language,
  timeZone,
  moneyLocale,
});

const numbers = new Intl.NumberFormat(locale);

/** @param {number} milliseconds */
export function duration(milliseconds) {
  if (milliseconds < 1_000) return `${Math.max(0, Math.round(milliseconds))} ms`;
  if (milliseconds < 120_000) return `${numbers.format(Math.round(milliseconds / 100) / 10)} s`;
  return `${numbers.format(Math.round(milliseconds / 60_000))} min`;
}

/** @type {['day' | 'hour' | 'minute' | 'second', number][]} */
const units = [
  ['day', 86_400],
  ['hour', 3_600],
  ['minute', 60],
  ['second', 1],
];

/** Exactly, in the largest unit that divides it: `15 minutes`. @param {number} seconds a whole number above 0 */
export function wholeSpan(seconds) {
  const [unit, size] = units.find(([, size]) => seconds % size === 0) ?? ['second', 1];
  return new Intl.NumberFormat(language, { style: 'unit', unit, unitDisplay: 'long' }).format(seconds / size);
}

const seconds = new Intl.DateTimeFormat(locale, { dateStyle: 'medium', timeStyle: 'medium' });

/** To the second. @param {string | number} at */
export const exactTime = (at) => seconds.format(new Date(at));

/** In the page's language, because it stands in its sentences. */
const spans = new Intl.RelativeTimeFormat(language, { numeric: 'auto', style: 'short' });

/** A relative time: `5 min ago`. @param {string | number} at */
export function relative(at) {
  const seconds = Math.round((new Date(at).getTime() - Date.now()) / 1_000);
  if (Math.abs(seconds) < 60) return spans.format(seconds, 'second');
  if (Math.abs(seconds) < 3_600) return spans.format(Math.round(seconds / 60), 'minute');
  if (Math.abs(seconds) < 86_400) return spans.format(Math.round(seconds / 3_600), 'hour');
  return spans.format(Math.round(seconds / 86_400), 'day');
}
