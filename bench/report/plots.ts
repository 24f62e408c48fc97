/** Plots as self-contained SVG: no script, no font, no style sheet. */

const [width, barHeight, labelWidth] = [720, 22, 220];
const colours = ['#2563eb', '#d97706', '#059669', '#9333ea', '#dc2626', '#0891b2', '#4b5563'];

export const escaped = (text: string) =>
  text.replace(
    /[&<>"]/g,
    (sign) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[sign] ?? sign,
  );

const svg = (height: number, title: string, inside: string) =>
  `<svg viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" ` +
  `aria-label="${escaped(title)}" font-family="system-ui" font-size="12">${inside}</svg>`;

export interface Bar {
  label: string;
  value: number;
  /** The lowest and the highest round. */
  min: number;
  max: number;
  text: string;
}

/** Horizontal bars from zero, each with a line from the lowest to the highest round. */
export function barPlot(title: string, bars: Bar[]): string {
  const longest = Math.max(...bars.map(({ max }) => max), Number.MIN_VALUE);
  const scale = (value: number) => ((width - labelWidth - 130) * value) / longest;
  const rows = bars.map(({ label, value, min, max, text }, n) => {
    const y = n * (barHeight + 6);
    const middle = y + barHeight / 2;
    return (
      `<text x="${labelWidth - 8}" y="${middle + 4}" text-anchor="end">${escaped(label)}</text>` +
      `<rect x="${labelWidth}" y="${y}" width="${scale(value).toFixed(1)}" height="${barHeight}" ` +
      `fill="${colours[n % colours.length]}"/>` +
      `<line x1="${labelWidth + scale(min)}" x2="${labelWidth + scale(max)}" y1="${middle}" y2="${middle}" ` +
      `stroke="#111"/><text x="${labelWidth + scale(Math.max(value, max)) + 6}" y="${middle + 4}">${escaped(text)}</text>`
    );
  });
  return svg(bars.length * (barHeight + 6), title, rows.join(''));
}

export interface Line {
  label: string;
  points: [x: number, y: number][];
}

const [plotHeight, left, bottom] = [240, 60, 34];

/** Lines over a common y axis that begins at zero. @param logarithmic makes the x axis logarithmic. */
export function linePlot(
  title: string,
  lines: Line[],
  { x, y, logarithmic = false }: { x: string; y: string; logarithmic?: boolean },
): string {
  const points = lines.flatMap((line) => line.points);
  const along = (value: number) => (logarithmic ? Math.log10(Math.max(value, 1)) : value);
  const xs = points.map((point) => along(point[0]));
  const [first, last] = [Math.min(...xs), Math.max(...xs)];
  const top = Math.max(...points.map((point) => point[1]), Number.MIN_VALUE) * 1.05;
  const px = (value: number) => left + ((along(value) - first) / (last - first || 1)) * (width - left - 20);
  const py = (value: number) => plotHeight - bottom - (value / top) * (plotHeight - bottom - 24);
  const drawn = lines.map(({ label, points }, n) => {
    const path = points.map((point) => `${px(point[0]).toFixed(1)},${py(point[1]).toFixed(1)}`).join(' ');
    const colour = colours[n % colours.length];
    return (
      `<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="2"/>` +
      `<text x="${left + 8 + n * 110}" y="14" fill="${colour}">${escaped(label)}</text>`
    );
  });
  const axes =
    `<path d="M${left},20V${plotHeight - bottom}H${width - 20}" fill="none" stroke="#999"/>` +
    `<text x="${left - 6}" y="30" text-anchor="end">${Number(top.toPrecision(3))}</text>` +
    `<text x="${left - 6}" y="${plotHeight - bottom}" text-anchor="end">0</text>` +
    `<text x="${left}" y="${plotHeight - 18}">${logarithmic ? 10 ** first : Number(first.toPrecision(3))}</text>` +
    `<text x="${width - 20}" y="${plotHeight - 18}" text-anchor="end">` +
    `${logarithmic ? Math.round(10 ** last) : Number(last.toPrecision(3))}</text>` +
    `<text x="${width / 2}" y="${plotHeight - 4}" text-anchor="middle">${escaped(x)}</text>` +
    `<text x="${width - 20}" y="14" text-anchor="end">${escaped(y)}</text>`;
  return svg(plotHeight, title, axes + drawn.join(''));
}
