/** Prices, numbers and times in the page's locale; times are in the shop's time zone, and name it. */

/** @import { Money } from '../../sale/contract.ts' */

import { language, locale, timeZone } from './language.js';
import { moneyIn } from './money.js';

const numbers = new Intl.NumberFormat(locale);
/** @type {Intl.DateTimeFormatOptions} */
const hourAndMinute = { hour: '2-digit', minute: '2-digit', timeZone };
/** @type {Intl.DateTimeFormatOptions} */
const toTheSecond = { ...hourAndMinute, second: '2-digit' };
/** @type {Intl.DateTimeFormatOptions} */
const inZone = { timeZoneName: 'short' };
/** @type {Intl.DateTimeFormatOptions} */
const day = { year: 'numeric', month: 'short', day: 'numeric' };

const ticks = new Intl.DateTimeFormat(locale, toTheSecond);
const clock = new Intl.DateTimeFormat(locale, { ...toTheSecond, ...inZone });
const dates = new Intl.DateTimeFormat(locale, { ...day, ...hourAndMinute, ...inZone });
/** In the page's language, because it stands in its sentences. */
const longDates = new Intl.DateTimeFormat(language, {
  ...toTheSecond,
  ...{ weekday: 'long', year: 'numeric', month: 'long', day: 'numeric', timeZoneName: 'long' },
});

/** @param {number} value */
export const number = (value) => numbers.format(value);

/** @param {Money} price @param {number} [quantity] */
export const money = (price, quantity = 1) => moneyIn(locale, price, quantity);

const percents = new Intl.NumberFormat(locale, { style: 'percent', signDisplay: 'exceptZero' });

/** In whole percent, rounded towards zero, so that 99.6 % off is not shown as 100 %. @param {number} share */
export const percent = (share) => percents.format(Math.trunc(Math.round(share * 1e6) / 1e4) / 100);

/** On the axis of a chart, which has no room for the zone. @param {number} at */
export const tick = (at) => ticks.format(new Date(at));

/** @param {string | number} at */
export const time = (at) => clock.format(new Date(at));

/** @param {string | number} at */
export const dateTime = (at) => dates.format(new Date(at));

/** With the day of the week, the seconds and the zone's whole name. @param {string | number} at */
export const longDateTime = (at) => longDates.format(new Date(at));

/** @param {number} milliseconds */
export function duration(milliseconds) {
  if (milliseconds < 1_000) return `${Math.max(0, Math.round(milliseconds))} ms`;
  if (milliseconds < 120_000) return `${numbers.format(Math.round(milliseconds / 100) / 10)} s`;
  return `${numbers.format(Math.round(milliseconds / 60_000))} min`;
}

/** The text of a countdown: `2 d 03:04:05`, `03:04:05`. @param {number} milliseconds */
export function countdown(milliseconds) {
  const seconds = Math.max(0, Math.ceil(milliseconds / 1_000));
  const days = Math.floor(seconds / 86_400);
  const parts = [Math.floor(seconds / 3_600) % 24, Math.floor(seconds / 60) % 60, seconds % 60];
  const digits = parts.map((part) => String(part).padStart(2, '0')).join(':');
  return days > 0 ? `${days} d ${digits}` : digits;
}

/** The text of a countdown of minutes: `09:58`. @param {number} milliseconds */
export const shortCountdown = (milliseconds) => countdown(milliseconds).replace(/^00:/, '');

const seconds = new Intl.DateTimeFormat(locale, { dateStyle: 'medium', timeStyle: 'medium' });

/** To the second. @param {string | number} at */
export const exactTime = (at) => seconds.format(new Date(at));

const spans = new Intl.RelativeTimeFormat(locale, { numeric: 'auto', style: 'short' });

/** A relative time: `5 min ago`. @param {string | number} at */
export function relative(at) {
  const seconds = Math.round((new Date(at).getTime() - Date.now()) / 1_000);
  if (Math.abs(seconds) < 60) return spans.format(seconds, 'second');
  if (Math.abs(seconds) < 3_600) return spans.format(Math.round(seconds / 60), 'minute');
  if (Math.abs(seconds) < 86_400) return spans.format(Math.round(seconds / 3_600), 'hour');
  return spans.format(Math.round(seconds / 86_400), 'day');
}

/** The smaller of an uploaded picture's two sizes. Other pictures have only one. @param {string} path */
export const smallPicture = (path) => path.replace(/^(\/pictures\/[\w-]{22})-1200\.webp$/, '$1-480.webp');
