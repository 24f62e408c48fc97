import { stringify } from 'csv-stringify/sync';

/** Marks the file as UTF-8, because spreadsheets would otherwise show accented letters wrong. */
export const byteOrderMark = '\ufeff';

/** Characters that a spreadsheet skips before a formula. */
const skipped = String.raw`[\s\p{C}\p{M}\p{Default_Ignorable_Code_Point}\u2800]*`;
/** The start of a formula in a cell, or after `;`, tab or line break, which separate cells in some locales. */
const formula = new RegExp(`(^|[;\t\r\n])(?=[\t\r]|${skipped}[=+\\-@|%\u2212])`, 'gu');
/** The same characters in other widths: `＝`, `﹢`, `－`, `＠`. */
const otherWidths = /[\uff01-\uff5e\ufe50-\ufe6f\u207a-\u207c\u208a-\u208c]/gu;

/** Writes CSV lines of RFC 4180. A text that a spreadsheet would evaluate as a formula gets a quote in front of it. */
export function csvLines(rows: (string | number)[][]): string {
  return stringify(rows, {
    record_delimiter: 'windows',
    quoted_match: /[\t\r\n;']/,
    cast: { string: harmless },
  });
}

/** Neutralises formulas, because a buyer's name may be `=HYPERLINK(…)`. */
function harmless(text: string): string {
  // Nearly every cell is an id, a time or a number.
  if (/^\w[\w.:@-]*$/.test(text)) return text;
  // Each of these is one character in every width, so the positions are the same in both texts.
  const inOneWidth = text.replace(otherWidths, (sign) => sign.normalize('NFKC'));
  if (inOneWidth.search(formula) === -1) return text;
  const places = [...inOneWidth.matchAll(formula)].map(({ index, 1: before = '' }) => index + before.length);
  return places.reduceRight((quoted, at) => `${quoted.slice(0, at)}'${quoted.slice(at)}`, text);
}
