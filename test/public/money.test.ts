import { expect, test } from 'vitest';
import { instantOf, localText, type UnclearTime } from '../../public/admin/local-time.js';
import { english } from '../../public/admin/texts/en.js';
import { formatsFor } from '../../public/shared/formats.js';
import {
  decimalOf,
  InputError,
  moneyIn,
  parseAmount,
  parseWhole,
  typedAmount,
} from '../../public/shared/money.js';
import { french } from '../../public/texts/fr.js';

/** What a person reads who has typed this, in English. */
function saidOf(parse: () => unknown): string {
  try {
    return `accepted as ${parse()}`;
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    return english.inputs[error.fault](...error.parts);
  }
}

test.each<[text: string, currency: string, minor: number]>([
  ['149', 'EUR', 14_900],
  ['149.50', 'EUR', 14_950],
  ['149,5', 'EUR', 14_950],
  [' 0.01 ', 'EUR', 1],
  ['0', 'EUR', 0],
  ['1.29', 'EUR', 129],
  ['1,500.00', 'EUR', 150_000],
  ['1.500,00', 'EUR', 150_000],
  ['1,234,567.8', 'EUR', 123_456_780],
  ['1.234.567', 'EUR', 123_456_700],
  ['1 500', 'EUR', 150_000],
  ['1\u202f500,25', 'EUR', 150_025],
  ['1’500.25', 'EUR', 150_025],
  ['1500', 'JPY', 1_500],
  ['1,500,000', 'JPY', 1_500_000],
  ['1.500', 'KWD', 1_500],
  ['0,5', 'KWD', 500],
  ['90071992547409.91', 'EUR', Number.MAX_SAFE_INTEGER],
])('%j of %s is %i', (text, currency, minor) => {
  expect(parseAmount(text, currency)).toBe(minor);
  // The formatted text is parsed back.
  expect(parseAmount(decimalOf({ amount: minor, currency }), currency)).toBe(minor);
});

test.each<[text: string, currency: string, message: string]>([
  ['1,500', 'EUR', '1,500: did you mean 1500.00 or 1.50?'],
  ['1.500', 'EUR', '1.500: did you mean 1500.00 or 1.50?'],
  ['1,234', 'EUR', '1,234: did you mean 1234.00?'],
  ['1,500', 'JPY', '1,500: did you mean 1500?'],
  ['1,500', 'KWD', '1,500: did you mean 1500.000 or 1.500?'],
  ['1.5', 'JPY', 'JPY has no decimals, got 1 in 1.5'],
  ['0.125', 'EUR', 'EUR has 2 decimals, got 3 in 0.125'],
  ['1,50,000', 'EUR', 'expected a number such as 1500.00, got 1,50,000'],
  ['1.500.00', 'EUR', 'expected a number such as 1500.00, got 1.500.00'],
  ['1 50', 'EUR', 'expected a number such as 1500.00, got 1 50'],
  ['', 'EUR', 'expected a number such as 1500.00, got nothing'],
  ['-5', 'EUR', 'expected a number such as 1500.00, got -5'],
  ['1e3', 'JPY', 'expected a number such as 1500, got 1e3'],
  ['0x10', 'EUR', 'expected a number such as 1500.00, got 0x10'],
  ['５', 'EUR', 'expected a number such as 1500.00, got ５'],
  ['Infinity', 'EUR', 'expected a number such as 1500.00, got Infinity'],
  ['90071992547409.92', 'EUR', 'expected at most 90071992547409.91, got 90071992547409'],
  ['5', 'ABC', 'expected the ISO 4217 code of a currency, e.g. EUR, got ABC'],
  ['5', 'eur', 'expected the ISO 4217 code of a currency, e.g. EUR, got eur'],
])('%j of %s is refused: %s', (text, currency, message) => {
  expect(saidOf(() => parseAmount(text, currency))).toBe(message);
});

test('a whole number may have unambiguous thousands separators', () => {
  expect(['10', '1 000', '1,000,000'].map(parseWhole)).toEqual([10, 1_000, 1_000_000]);
  for (const text of ['1,500', '1.5', '1e3', '', '-1']) expect(() => parseWhole(text), text).toThrow();
});

test('an amount is exact above 2^53', () => {
  const price = { amount: 999_999_999_999, currency: 'EUR' };
  expect(decimalOf(price, 1_000_003)).toBe('10000029999989999.97');
  expect(moneyIn('en', price, 1_000_003)).toBe('€10,000,029,999,989,999.97');
  expect(decimalOf({ amount: 5, currency: 'EUR' })).toBe('0.05');
  expect(decimalOf({ amount: 5, currency: 'KWD' })).toBe('0.005');
  expect(decimalOf({ amount: 5, currency: 'JPY' })).toBe('5');
});

test.each([
  ['1.500,00', 'EUR', 'de', 150_000],
  ['149,50', 'EUR', 'de', 14_950],
  ['149.50', 'EUR', 'de', 14_950],
  ['0,500', 'KWD', 'de', 500],
  ['1’500.00', 'CHF', 'de-CH', 150_000],
])('%j of %s in %s is %i', (text, currency, locale, minor) => {
  expect(parseAmount(text, currency, locale)).toBe(minor);
  expect(parseAmount(typedAmount({ amount: minor, currency }, locale), currency, locale)).toBe(minor);
});

test('what was understood is said in the format of the locale', () => {
  expect(saidOf(() => parseAmount('1,500', 'EUR', 'de'))).toBe('1,500: did you mean 1500,00 or 1,50?');
  expect(saidOf(() => parseAmount('1.500', 'KWD', 'de'))).toBe('1.500: did you mean 1500,000 or 1,500?');
  expect(saidOf(() => parseAmount('', 'EUR', 'fr'))).toContain('such as 1500,00');
  expect(saidOf(() => parseWhole('1.5'))).toBe('a whole number has no decimals, got 1 in 1.5');
});

test('a time is written in the reader’s language, and a price in the shop’s locale where staff read it', () => {
  const of = (language: string, moneyLocale = language) =>
    formatsFor({ locale: language, language, timeZone: 'UTC', moneyLocale });
  const day = 24 * 3_600_000;
  expect(['en', 'de', 'fr'].map((language) => of(language).countdown(day + 1_000))).toEqual([
    '1 d 00:00:01',
    '1 T 00:00:01',
    '1 j 00:00:01',
  ]);
  const evening = Date.UTC(2026, 10, 26, 20, 27, 28);
  expect(of('de', 'en').time(evening)).toBe('20:27:28 UTC');
  expect(of('de', 'en').money({ amount: 4_900, currency: 'EUR' })).toBe('€49.00');
  expect(french.heldUntil(of('fr').dateTime(evening))).toContain('jusqu’au 26 nov. 2026');
});

const berlin = 'Europe/Berlin';
const refusalOf = (text: string, zone: string) => {
  try {
    return `accepted as ${instantOf(text, zone)}`;
  } catch (error) {
    return error as UnclearTime;
  }
};

test('a local time is accepted if it exists exactly once', () => {
  expect(instantOf('2026-11-27T19:00', berlin)).toBe('2026-11-27T18:00:00.000Z');
  expect(instantOf('2026-03-29T01:59:59', berlin)).toBe('2026-03-29T00:59:59.000Z');
  expect(instantOf('2026-03-29T03:00', berlin)).toBe('2026-03-29T01:00:00.000Z');
  expect(instantOf('2026-11-27T19:00', 'UTC')).toBe('2026-11-27T19:00:00.000Z');
  expect(instantOf('2026-11-27T19:00', 'Asia/Kathmandu')).toBe('2026-11-27T13:15:00.000Z');
  expect(localText(Date.parse(instantOf('2026-07-01T00:00:30', berlin)), berlin)).toBe('2026-07-01T00:00:30');
  expect(saidOf(() => instantOf('2026-02-30T12:00', berlin))).toBe(
    '2026-02-30 12:00:00 does not exist: did you mean 2026-03-02 12:00:00?',
  );
  for (const text of ['', '20266-01-01T00:00', '+020266-01-01T00:00', '0026-01-01T00:00', '2026-01-01']) {
    expect(
      saidOf(() => instantOf(text, berlin)),
      text,
    ).toContain('expected a date with a year of four digits');
  }
});

test('a local time that clocks skip is refused with the two times that may be meant', () => {
  expect(saidOf(() => instantOf('2026-03-29T02:30', berlin))).toContain(
    'did you mean 2026-03-29 01:30:00 (UTC+01:00) or 2026-03-29 03:30:00 (UTC+02:00)?',
  );
  expect(refusalOf('2026-03-29T02:30', berlin)).toMatchObject({
    choices: [{ at: '2026-03-29T00:30:00.000Z' }, { at: '2026-03-29T01:30:00.000Z' }],
  });
  // Lord Howe Island sets its clocks by half an hour.
  expect(refusalOf('2026-10-04T02:15', 'Australia/Lord_Howe')).toMatchObject({
    choices: [{ at: '2026-10-03T15:15:00.000Z' }, { at: '2026-10-03T15:45:00.000Z' }],
  });
});

test('a local time that clocks show twice is refused with both', () => {
  expect(saidOf(() => instantOf('2026-10-25T02:30', berlin))).toContain(
    'did you mean 2026-10-25 02:30:00 (UTC+02:00) or 2026-10-25 02:30:00 (UTC+01:00)?',
  );
  expect(refusalOf('2026-10-25T02:30', berlin)).toMatchObject({
    choices: [{ at: '2026-10-25T00:30:00.000Z' }, { at: '2026-10-25T01:30:00.000Z' }],
  });
  expect(refusalOf('2026-11-01T01:00', 'America/New_York')).toMatchObject({
    choices: [{ at: '2026-11-01T05:00:00.000Z' }, { at: '2026-11-01T06:00:00.000Z' }],
  });
});
