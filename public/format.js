/** Prices, numbers and times as the reader writes them. */

/** @import { Money } from '../sale/contract.ts' */

const locale = navigator.language;
const numbers = new Intl.NumberFormat(locale);
const clock = new Intl.DateTimeFormat(locale, { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const dates = new Intl.DateTimeFormat(locale, { dateStyle: 'medium', timeStyle: 'short' });

/** @param {number} value */
export const number = (value) => numbers.format(value);

/** @param {Money} price @param {number} [quantity] */
export function money({ amount, currency }, quantity = 1) {
  const format = new Intl.NumberFormat(locale, { style: 'currency', currency });
  // Not every currency has cents: the yen has none, the dinar has three digits.
  const digits = format.resolvedOptions().maximumFractionDigits ?? 2;
  return format.format((amount * quantity) / 10 ** digits);
}

/** @param {string | number} at */
export const time = (at) => clock.format(new Date(at));

/** @param {string | number} at */
export const dateTime = (at) => dates.format(new Date(at));

/** @param {number} milliseconds */
export function duration(milliseconds) {
  if (milliseconds < 1_000) return `${Math.max(0, Math.round(milliseconds))} ms`;
  return `${numbers.format(Math.round(milliseconds / 100) / 10)} s`;
}

/** What a countdown shows: `2 d 03:04:05`, `03:04:05`. @param {number} milliseconds */
export function countdown(milliseconds) {
  const seconds = Math.max(0, Math.ceil(milliseconds / 1_000));
  const days = Math.floor(seconds / 86_400);
  const parts = [Math.floor(seconds / 3_600) % 24, Math.floor(seconds / 60) % 60, seconds % 60];
  const digits = parts.map((part) => String(part).padStart(2, '0')).join(':');
  return days > 0 ? `${days} d ${digits}` : digits;
}
