/**
 * Amounts of money as people read and write them. Between the text and the integer of minor units no amount passes
 * through a floating-point number, which would be inexact above 2^53. The pages, the mails and the exports share it.
 */

/** @import { Money } from '../../sale/contract.ts' */

const currencies = new Set(Intl.supportedValuesOf('currency'));

/** Whether it is the code of a currency, e.g. `EUR`. @param {string} code */
export const isCurrency = (code) => currencies.has(code);

/** Not every currency has cents: the yen has no decimals, the dinar has three. @param {string} currency */
function decimalsOf(currency) {
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

/** As the reader's language writes it, exactly. @param {string} locale @param {Money} price @param {number} [quantity] */
export function moneyIn(locale, { amount, currency }, quantity = 1) {
  const format = new Intl.NumberFormat(locale, { style: 'currency', currency });
  return format.format(decimalOf({ amount, currency }, quantity));
}

/** What was typed can be read in two ways, or in none. Its message is for the person who typed it. */
export class Misread extends Error {}

/** What a person typed as a currency. @param {string} text @throws {Misread} */
export function parseCurrency(text) {
  if (isCurrency(text)) return text;
  throw new Misread(`expected the ISO 4217 code of a currency, e.g. EUR, got ${shortened(text)}`);
}

/** What a person typed as a price, in the currency's minor units.
 * @param {string} text @param {string} currency @throws {Misread} */
export const parseAmount = (text, currency) =>
  parseDecimal(text, decimalsOf(parseCurrency(currency)), currency);

/** What a person typed as a whole number. @param {string} text @throws {Misread} */
export const parseWhole = (text) => parseDecimal(text, 0, 'a whole number');

/** Blanks and apostrophes only ever group digits. */
const groupedByBlanks = /^\d{1,3}(?:[ \u00a0\u202f'’]\d{3})+(?=[.,]|$)/;
/** Both separators occur: the first groups thousands, the second comes before the decimals. */
const groupedBoth = /^(\d{1,3}(?:(?:,\d{3})+(?=\.)|(?:\.\d{3})+(?=,)))[.,](\d+)$/;
/** A separator that comes twice groups. */
const groupedOften = /^\d{1,3}([.,])\d{3}(?:\1\d{3})+$/;

/** @param {string} text @param {number} decimals @param {string} unit */
function parseDecimal(text, decimals, unit) {
  const typed = text.trim();
  const plain = typed.replace(groupedByBlanks, (digits) => digits.replace(/\D/g, ''));
  if (/^\d+$/.test(plain)) return minorOf(plain, '', decimals, unit);
  const [, grouped, decimalPart = ''] = groupedBoth.exec(plain) ?? [];
  if (grouped) return minorOf(grouped.replace(/\D/g, ''), decimalPart, decimals, unit);
  if (groupedOften.test(plain)) return minorOf(plain.replace(/\D/g, ''), '', decimals, unit);

  const [, whole = '', separator, fraction = ''] = /^(\d+)([.,])(\d+)$/.exec(plain) ?? [];
  if (!separator) {
    const example = pointed(10n ** BigInt(decimals) * 1_500n, decimals);
    throw new Misread(`expected a number such as ${example}, got ${shortened(typed)}`);
  }
  const couldGroup = plain === typed && fraction.length === 3 && /^[1-9]\d{0,2}$/.test(whole);
  // A point before as many digits as the currency has is how these pages write it themselves.
  const isOurs = separator === '.' && decimals === 3;
  if (!couldGroup || isOurs) return minorOf(whole, fraction, decimals, unit);
  const readings = [minorOf(whole + fraction, '', decimals, unit)];
  const cut = fraction.replace(/0+$/, '');
  if (decimals > 0 && cut.length <= decimals) readings.push(minorOf(whole, cut, decimals, unit));
  const meant = readings.map((minor) => pointed(BigInt(minor), decimals));
  throw new Misread(`${typed}: did you mean ${meant.join(' or ')}?`);
}

/** @param {string} whole @param {string} fraction @param {number} decimals @param {string} unit */
function minorOf(whole, fraction, decimals, unit) {
  if (fraction.length > decimals) {
    const has = decimals === 0 ? 'no decimals' : `${decimals} decimals`;
    throw new Misread(`${unit} has ${has}, got ${fraction.length} in ${shortened(`${whole}.${fraction}`)}`);
  }
  const minor = BigInt(whole + fraction.padEnd(decimals, '0'));
  const most = BigInt(Number.MAX_SAFE_INTEGER);
  if (minor > most) throw new Misread(`expected at most ${pointed(most, decimals)}, got ${shortened(whole)}`);
  return Number(minor);
}

/** @param {string} text */
const shortened = (text) => (text === '' ? 'nothing' : text.length > 40 ? `${text.slice(0, 40)}…` : text);
