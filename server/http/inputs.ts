import { z } from 'zod';

/** Input schemas that several routes share. Objects are strict, so that an unknown field is an error. */

export const id = z
  .string()
  .regex(/^[A-Za-z0-9_-]{8,64}$/, 'expected an id: 8 to 64 letters, digits, _ or -');
export const byId = z.strictObject({ id });

export const password = z
  .string()
  .min(8, 'expected at least 8 characters')
  .refine((text) => Buffer.byteLength(text) <= 72, 'expected at most 72 bytes')
  .meta({ maxLength: 72, description: '8 characters to 72 bytes of UTF-8' });

/** An address or a password to compare with what is stored, which an earlier version may have accepted in any form. */
export const typedEmail = z.string().max(254);
export const typedPassword = z.string().max(1_000);

/** The token in a link that came by mail. */
export const linkToken = z
  .string()
  .regex(/^[\w-]{22}\.[\w-]{43}$/, 'expected the part of the link behind `=`');

/** An item within its sale. */
export const itemId = z.string().regex(/^[1-9]\d{0,2}$/, 'expected the id of an item: 1, 2, …');

export const units = z.int().min(1).max(1_000_000);

/** Unix time begins in 1970, and many parsers do not read a year after 9999. */
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

/** A number in a query, of digits only, because JavaScript would also read an empty text as 0, and `1e1` and `0xa` as 10. */
export const wholeFromText = (min: number, max: number) =>
  z.preprocess(
    (text) => (typeof text === 'string' && !/^\d{1,15}$/.test(text) ? Number.NaN : text),
    z.coerce.number().int().min(min).max(max),
  );

/** Number of entries on a page of a list. */
export const pageSize = wholeFromText(1, 100).default(20);

/** A position in a list, in the form of its `nextCursor`. */
export const cursorLike = (pattern: RegExp) =>
  z.string().regex(pattern, 'expected the nextCursor of the page before').optional();

/** A position in a list that is sorted by time: Unix time in ms, and an id. */
const timeCursor = cursorLike(/^\d{1,15}\.[\w:.-]{1,200}$/);

export const newestList = z.strictObject({ cursor: timeCursor, limit: pageSize });

/** The query of a list whose page size is fixed. */
export const pageAfter = z.strictObject({ cursor: timeCursor });

/** Printable ASCII, as RFC 9110 requires it in a header, and short because Redis stores each key for a day. */
export const idempotencyKey = z
  .string()
  .regex(/^[\x21-\x7e]{1,255}$/, 'expected 1 to 255 printable ASCII characters');

/**
 * Characters that show nothing alone: whitespace, combining marks, control characters, unassigned and ignorable characters,
 * and two symbols that fonts leave blank although Unicode does not call them ignorable (U+2800 and U+1D159).
 */
const invisible = /[\s\p{M}\p{C}\p{Default_Ignorable_Code_Point}\u2800\u{1d159}]/gu;

/** Characters that break a line, control a terminal, are half a surrogate pair, or change the writing direction. */
const misleading = /[\p{Cc}\p{Zl}\p{Zp}\p{Cs}\u202a-\u202e\u2066-\u2069]/u;
/** The same characters for a text of several lines, in which tabs and line breaks are allowed. */
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

/** One line without whitespace around it, which may be empty; otherwise it has a visible character. */
export const line = (maxLength: number) =>
  z
    .string()
    .trim()
    .max(maxLength)
    .refine((text) => text === '' || isVisible(text), visible)
    .refine(
      (text) => !misleading.test(text),
      refusing(
        misleading,
        'one line without control characters and without changes of the writing direction',
      ),
    );

/** The name of a person or product. */
export const name = (maxLength: number) => line(maxLength).min(1).meta({ pattern: '\\S' });

/** A text of several lines, which may be empty. */
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
