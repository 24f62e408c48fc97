/** Prices, numbers and times as a reader writes them; times are in the shop's time zone, and name it. Pure. */

/** @import { Money } from '../../sale/contract.ts' */

import { moneyIn } from './money.js';

/** @type {Intl.DateTimeFormatOptions} */
const hourAndMinute = { hour: '2-digit', minute: '2-digit' };
/** @type {Intl.DateTimeFormatOptions} */
const inZone = { timeZoneName: 'short' };
/** @type {Intl.DateTimeFormatOptions} */
const day = { year: 'numeric', month: 'short', day: 'numeric' };

/** With the day of the week, to the minute. @param {string} locale @param {string} [timeZone] this device's when absent */
export const momentsIn = (locale, timeZone) =>
  new Intl.DateTimeFormat(locale, {
    ...{ weekday: 'long', month: 'long', day: 'numeric', ...hourAndMinute, ...inZone },
    ...(timeZone !== undefined && { timeZone }),
  });

/** @param {{ locale: string, language: string, timeZone: string, moneyLocale?: string }} reader */
export function formatsFor({ locale, language, timeZone, moneyLocale = locale }) {
  const toTheSecond = /** @type {const} */ ({ ...hourAndMinute, second: '2-digit', timeZone });
  const numbers = new Intl.NumberFormat(locale);
  const percents = new Intl.NumberFormat(locale, { style: 'percent', signDisplay: 'exceptZero' });
  const ticks = new Intl.DateTimeFormat(locale, toTheSecond);
  const clock = new Intl.DateTimeFormat(locale, { ...toTheSecond, ...inZone });
  const dates = new Intl.DateTimeFormat(locale, { ...day, ...hourAndMinute, ...inZone, timeZone });
  /** In the page's language, because it stands in its sentences. */
  const longDates = new Intl.DateTimeFormat(language, {
    ...toTheSecond,
    ...{ weekday: 'long', year: 'numeric', month: 'long', day: 'numeric', timeZoneName: 'long' },
  });
  const moments = momentsIn(locale, timeZone);
  /** @param {number} milliseconds */
  const countdown = (milliseconds) => countdownIn(milliseconds, language);
  return {
    /** `2 d 03:04:05`, `03:04:05`. @param {number} milliseconds */
    countdown,

    /** Of minutes: `09:58`. @param {number} milliseconds */
    shortCountdown: (milliseconds) => countdown(milliseconds).replace(/^00:/, ''),

    /** @param {number} value */
    number: (value) => numbers.format(value),

    /** @param {Money} price @param {number} [quantity] */
    money: (price, quantity = 1) => moneyIn(moneyLocale, price, quantity),

    /** In whole percent, rounded towards zero, so that 99.6 % off is not shown as 100 %. @param {number} share */
    percent: (share) => percents.format(Math.trunc(Math.round(share * 1e6) / 1e4) / 100),

    /** On the axis of a chart, which has no room for the zone. @param {number} at */
    tick: (at) => ticks.format(new Date(at)),

    /** @param {string | number} at */
    time: (at) => clock.format(new Date(at)),

    /** @param {string | number} at */
    dateTime: (at) => dates.format(new Date(at)),

    /** What both have in common, e.g. the day and the zone, is said once. @param {string} from @param {string} to */
    period: (from, to) => dates.formatRange(new Date(from), new Date(to)),

    /** With the day of the week, the seconds and the zone's whole name. @param {string | number} at */
    longDateTime: (at) => longDates.format(new Date(at)),

    /** With the day of the week, to the minute. @param {string | number} at */
    moment: (at) => moments.format(new Date(at)),
  };
}

/** The sign of a day. @type {Record<string, string>} */
const daySigns = { en: 'd', de: 'T', fr: 'j' };

/** @param {number} milliseconds @param {string} language */
function countdownIn(milliseconds, language) {
  const seconds = Math.max(0, Math.ceil(milliseconds / 1_000));
  const days = Math.floor(seconds / 86_400);
  const parts = [Math.floor(seconds / 3_600) % 24, Math.floor(seconds / 60) % 60, seconds % 60];
  const digits = parts.map((part) => String(part).padStart(2, '0')).join(':');
  return days > 0 ? `${days} ${daySigns[language] ?? 'd'} ${digits}` : digits;
}

/** An uploaded picture has two sizes; other pictures have only one. */
const uploaded = /^(\/pictures\/[\w-]{22})-1200\.webp$/;

/** The smaller size of a picture. @param {string} path */
export const smallPicture = (path) => path.replace(uploaded, '$1-480.webp');

/** The `srcset` of a picture, which is empty when it has only one size. @param {string} path */
export const pictureSizes = (path) =>
  uploaded.test(path) ? `${smallPicture(path)} 480w, ${path} 1200w` : '';
