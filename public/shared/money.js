/**
 * Formats and parses amounts of money. Amounts are integers of minor units and never floating-point numbers, which would
 * be inexact above 2^53. The pages, the mails and the exports share this file.
 */

/** @import { Money } from '../../sale/contract.ts' */

const currencies = new Set(Intl.supportedValuesOf('currency'));

/** Whether the code is an ISO 4217 currency, e.g. `EUR`. @param {string} code */
export const isCurrency = (code) => currencies.has(code);

/** Not every currency has cents: the yen has no decimals, the dinar has three. @param {string} currency */
export function decimalsOf(currency) {
  const format = new Intl.NumberFormat('en', { style: 'currency', currency });
  return format.resolvedOptions().maximumFractionDigits ?? 2;
}

/** In whole currency units, exactly: `129.00`. @param {Money} price @param {number} [quantity] */
export function decimalOf({ amount, currency }, quantity = 1) {
  return pointed(BigInt(amount) * BigInt(quantity), decimalsOf(currency));
}

/** @param {bigint} minor @param {number} decimals @returns {`${number}`} */
function pointed(minor, decimals) {
  const sign = minor < 0n ? '-' : '';
  const digits = String(minor < 0n ? -minor : minor).padStart(decimals + 1, '0');
  const whole = digits.slice(0, digits.length - decimals);
  const text = decimals === 0 ? digits : `${whole}.${digits.slice(-decimals)}`;
  return /** @type {`${number}`} */ (`${sign}${text}`);
}

/** The exact amount in the format of the locale. @param {string} locale @param {Money} price @param {number} [quantity] */
export function moneyIn(locale, { amount, currency }, quantity = 1) {
  const format = new Intl.NumberFormat(locale, { style: 'currency', currency });
  return format.format(decimalOf({ amount, currency }, quantity));
}

/**
 * What is wrong with a typed text; the texts of the control room say it in words.
 * @typedef {'number' | 'meant' | 'wholeOnly' | 'decimals' | 'most' | 'currency' | 'time' | 'noSuchTime' | 'skippedTime' | 'doubleTime'} InputFault
 */

/** The typed text is ambiguous or invalid. */
export class InputError extends Error {
  /** @param {InputFault} fault @param {...string} parts what was typed, expected or may have been meant */
  constructor(fault, ...parts) {
    super(`${fault}: ${parts.join(', ')}`);
    this.fault = fault;
    this.parts = parts;
  }
}

/** Parses a typed currency. @param {string} text @throws {InputError} */
export function parseCurrency(text) {
  if (isCurrency(text)) return text;
  throw new InputError('currency', shortened(text));
}

/** Parses a typed price into minor units of the currency. What was understood is shown in the format of the locale.
 * @param {string} text @param {string} currency @param {string} [locale] @throws {InputError} */
export const parseAmount = (text, currency, locale = 'en') =>
  parseDecimal(text, decimalsOf(parseCurrency(currency)), currency, pointIn(locale));

/** Parses a typed whole number. @param {string} text @throws {InputError} */
export const parseWhole = (text) => parseDecimal(text, 0, '', '.');

/** The amount as a person of this locale types it, e.g. `129,00`. @param {Money} price @param {string} locale */
export const typedAmount = (price, locale) => decimalOf(price).replace('.', pointIn(locale));

/** @param {string} locale @returns {'.' | ','} */
function pointIn(locale) {
  const parts = new Intl.NumberFormat(locale, { numberingSystem: 'latn' }).formatToParts(1.5);
  return parts.some(({ type, value }) => type === 'decimal' && value === ',') ? ',' : '.';
}

/** Spaces and apostrophes can only be thousands separators. */
const groupedByBlanks = /^\d{1,3}(?:[ \u00a0\u202f'’]\d{3})+(?=[.,]|$)/;
/** With both separators, the first one groups thousands and the second is the decimal separator. */
const groupedBoth = /^(\d{1,3}(?:(?:,\d{3})+(?=\.)|(?:\.\d{3})+(?=,)))[.,](\d+)$/;
/** A separator that occurs twice is a thousands separator. */
const groupedOften = /^\d{1,3}([.,])\d{3}(?:\1\d{3})+$/;

/** @param {string} text @param {number} decimals @param {string} unit the currency; empty for a whole number @param {'.' | ','} point the locale's decimal separator */
function parseDecimal(text, decimals, unit, point) {
  const typed = text.trim();
  const plain = typed.replace(groupedByBlanks, (digits) => digits.replace(/\D/g, ''));
  if (/^\d+$/.test(plain)) return minorOf(plain, '', decimals, unit);
  const [, grouped, decimalPart = ''] = groupedBoth.exec(plain) ?? [];
  if (grouped) return minorOf(grouped.replace(/\D/g, ''), decimalPart, decimals, unit);
  if (groupedOften.test(plain)) return minorOf(plain.replace(/\D/g, ''), '', decimals, unit);

  const [, whole = '', separator, fraction = ''] = /^(\d+)([.,])(\d+)$/.exec(plain) ?? [];
  if (!separator) {
    const example = pointed(10n ** BigInt(decimals) * 1_500n, decimals).replace('.', point);
    throw new InputError('number', example, shortened(typed));
  }
  const couldGroup = plain === typed && fraction.length === 3 && /^[1-9]\d{0,2}$/.test(whole);
  // The locale's separator before exactly as many decimals as the currency has is the format of these pages themselves.
  const isOwnFormat = separator === point && decimals === 3;
  if (!couldGroup || isOwnFormat) return minorOf(whole, fraction, decimals, unit);
  const readings = [minorOf(whole + fraction, '', decimals, unit)];
  const cut = fraction.replace(/0+$/, '');
  if (decimals > 0 && cut.length <= decimals) readings.push(minorOf(whole, cut, decimals, unit));
  const meant = readings.map((minor) => pointed(BigInt(minor), decimals).replace('.', point));
  throw new InputError('meant', typed, ...meant);
}

/** @param {string} whole @param {string} fraction @param {number} decimals @param {string} unit */
function minorOf(whole, fraction, decimals, unit) {
  if (fraction.length > decimals) {
    const typed = [String(fraction.length), shortened(`${whole}.${fraction}`)];
    throw decimals === 0
      ? new InputError('wholeOnly', unit, ...typed)
      : new InputError('decimals', unit, String(decimals), ...typed);
  }
  const minor = BigInt(whole + fraction.padEnd(decimals, '0'));
  const most = BigInt(Number.MAX_SAFE_INTEGER);
  if (minor > most) throw new InputError('most', pointed(most, decimals), shortened(whole));
  return Number(minor);
}

/** @param {string} text */
const shortened = (text) => (text.length > 40 ? `${text.slice(0, 40)}…` : text);
