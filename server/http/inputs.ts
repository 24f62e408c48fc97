import { z } from 'zod';

/** What several routes take. Strict: a field that is not here is an error. */

export const id = z
  .string()
  .regex(/^[A-Za-z0-9_-]{8,64}$/, 'expected an id: 8 to 64 letters, digits, _ or -');
export const byId = z.strictObject({ id });

export const units = z.int().min(1).max(1_000_000);

/** Dates of computers begin in 1970; past the year 9999 ISO 8601 and most who read it part ways. */
const [earliestMs, latestMs] = [0, Date.UTC(9999, 11, 31, 23, 59, 59, 999)];

export const instant = z.iso
  .datetime({
    offset: true,
    error:
      'expected a date and time that exist, a year of four digits and a zone, e.g. 2026-11-27T18:00:00Z or 2026-11-27T19:00:00+01:00',
  })
  .transform((text) => new Date(text))
  .refine((at) => at.getTime() >= earliestMs && at.getTime() <= latestMs, {
    error: 'expected a year from 1970 to 9999, counted in UTC',
  });

/** A number in a query: digits only. JavaScript reads `?since=` as 0 as well, and `1e1` and `0xa` as 10. */
export const wholeFromText = (min: number, max: number) =>
  z.preprocess(
    (text) => (typeof text === 'string' && !/^\d{1,15}$/.test(text) ? Number.NaN : text),
    z.coerce.number().int().min(min).max(max),
  );

/** Entries on a page of a list. */
export const pageSize = wholeFromText(1, 100).default(20);

/** A place in a list, as its `nextCursor` says it. */
export const cursorLike = (pattern: RegExp) =>
  z.string().regex(pattern, 'expected the nextCursor of the page before').optional();

/** A place in a list that is sorted by time: Unix time in ms, and an id. */
const timeCursor = cursorLike(/^\d{1,15}\.[\w:.-]{1,200}$/);

export const newestList = z.strictObject({ cursor: timeCursor, limit: pageSize });

/** A page of a list whose pages have one size. */
export const pageAfter = z.strictObject({ cursor: timeCursor });

/** Printable ASCII, as RFC 9110 has it for a header, and short enough to be kept for a day. */
export const idempotencyKey = z
  .string()
  .regex(/^[\x21-\x7e]{1,255}$/, 'expected 1 to 255 printable ASCII characters');

/**
 * Shows nothing by itself: blanks, marks that combine, controls, characters of no meaning or of none yet, and what fonts
 * leave blank (the filler of Hangul is ignorable, the empty pattern of Braille and the null notehead are not).
 */
const invisible = /[\s\p{M}\p{C}\p{Default_Ignorable_Code_Point}\u2800\u{1d159}]/gu;

/** Breaks a line, controls a terminal, is half a character, or turns the direction of the text around it. */
const misleading = /[\p{Cc}\p{Zl}\p{Zp}\p{Cs}\u202a-\u202e\u2066-\u2069]/u;
/** The same for a text of several lines. */
const misleadingInLines = /(?![\t\n\r])[\p{Cc}\p{Cs}\u202a-\u202e\u2066-\u2069]/u;

const isVisible = (text: string) => text.replace(invisible, '') !== '';
const visible = { error: 'expected something that can be seen, got only characters that show nothing' };

function refusing(characters: RegExp, expected: string) {
  return {
    error({ input }: { input?: unknown }) {
      const [found = ''] = characters.exec(String(input)) ?? [];
      const code = found.codePointAt(0)?.toString(16).toUpperCase().padStart(4, '0');
      return `expected ${expected}, got U+${code}`;
    },
  };
}

/** What somebody or something is called: one line in which something can be seen, without blanks around it. */
export const name = (maxLength: number) =>
  z
    .string()
    .trim()
    .min(1)
    .max(maxLength)
    .refine(isVisible, visible)
    .refine(
      (text) => !misleading.test(text),
      refusing(
        misleading,
        'one line without control characters and without changes of the writing direction',
      ),
    )
    .meta({ pattern: '\\S' });

/** A text of several lines, or none. */
export const prose = (maxLength: number) =>
  z
    .string()
    .max(maxLength)
    .refine((text) => text === '' || isVisible(text), visible)
    .refine(
      (text) => !misleadingInLines.test(text),
      refusing(
        misleadingInLines,
        'lines without control characters and without changes of the writing direction',
      ),
    );
