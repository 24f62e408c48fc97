import { stringify } from 'csv-stringify/sync';

/** Tells a spreadsheet that the file is UTF-8: without it names with accents come out as other letters. */
export const byteOrderMark = '\ufeff';

/** What a spreadsheet skips before it looks for a formula. */
const skipped = String.raw`[\s\p{C}\p{M}\p{Default_Ignorable_Code_Point}\u2800]*`;
/** A cell may also be split at these, where the reader's language has another separator than the comma. */
const formula = new RegExp(`(^|[;\t\r\n])(?=[\t\r]|${skipped}[=+\\-@|%\u2212])`, 'gu');
/** The same signs in other widths: `＝`, `﹢`, `－`, `＠`. */
const otherWidths = /[\uff01-\uff5e\ufe50-\ufe6f\u207a-\u207c\u208a-\u208c]/gu;

/** Lines of RFC 4180. A text that a spreadsheet would run as a formula is made one that it shows. */
export function csvLines(rows: (string | number)[][]): string {
  return stringify(rows, {
    record_delimiter: 'windows',
    quoted_match: /[\t\r\n;']/,
    cast: { string: harmless },
  });
}

/** A buyer may be called `=HYPERLINK(…)`. */
function harmless(text: string): string {
  // Nearly every cell is an id, a time or a number.
  if (/^\w[\w.:@-]*$/.test(text)) return text;
  // Each of these is one character in either width, so what is found in one is in the same place in the other.
  const inOneWidth = text.replace(otherWidths, (sign) => sign.normalize('NFKC'));
  if (inOneWidth.search(formula) === -1) return text;
  const places = [...inOneWidth.matchAll(formula)].map(({ index, 1: before = '' }) => index + before.length);
  return places.reduceRight((made, at) => `${made.slice(0, at)}'${made.slice(at)}`, text);
}
