/** What a spreadsheet would take for a formula: a buyer may be called `=HYPERLINK(…)`. */
const formula = /^[\s]*[=+\-@\t\r|%]/;

/** A line of RFC 4180. A text that a spreadsheet would run as a formula is made one that it shows. */
export function csvLine(values: (string | number)[]): string {
  return `${values.map(cell).join(',')}\r\n`;
}

function cell(value: string | number): string {
  if (typeof value === 'number') return String(value);
  const harmless = formula.test(value) ? `'${value}` : value;
  return /[",\r\n']/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless;
}
