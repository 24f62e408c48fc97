/** A sale's report as a PNG picture to share. */

/** @import { SaleReport } from '../../../insight/contract.ts' */

import { serverNow } from '../../shared/clock.js';
import { duration } from '../../shared/format.js';
import { texts as storefront } from '../../shared/texts.js';
import { download } from '../http.js';
import { figuresOf, soldOf } from '../sales/report.js';
import { texts } from '../texts.js';
import { curveOf } from './burn-down.js';

const WIDTH = 1_200;
const HEIGHT = 675;
const EDGE = 64;
/** Between two figures beside the curve. */
const ROW = 38;
const plot = { left: EDGE, top: 250, width: 680, height: 340 };

/** @param {SaleReport} report */
export async function downloadReportPicture(report) {
  const canvas = document.createElement('canvas');
  canvas.width = WIDTH;
  canvas.height = HEIGHT;
  const pen = canvas.getContext('2d');
  if (!pen) throw new Error(texts.noCanvas);
  const style = getComputedStyle(document.documentElement);
  const ink = (/** @type {string} */ name) => style.getPropertyValue(name).trim();

  pen.fillStyle = ink('--ground');
  pen.fillRect(0, 0, WIDTH, HEIGHT);
  write(pen, ink('--hot-text'), 22, 700, headlineOf(report), EDGE, 92);
  write(pen, ink('--ink'), 60, 800, report.sale.product.name, EDGE, 168, WIDTH - 2 * EDGE);
  drawCurve(pen, report, ink);
  figuresOf(report).forEach(([name, value], n) => {
    const top = plot.top + n * ROW;
    write(pen, ink('--muted'), 15, 500, name, plot.left + plot.width + 48, top);
    write(
      pen,
      ink('--ink'),
      18,
      700,
      value,
      plot.left + plot.width + 48,
      top + 20,
      WIDTH - plot.left - plot.width - 48 - EDGE,
    );
  });
  write(
    pen,
    ink('--muted'),
    16,
    600,
    `${storefront.brand} · ${report.sale.closesAt.slice(0, 10)}`,
    EDGE,
    HEIGHT - 32,
  );

  const blob = await new Promise((resolve) => canvas.toBlob(resolve, 'image/png'));
  if (!(blob instanceof Blob)) throw new Error(texts.noCanvas);
  download(blob, `sale-${report.sale.id}.png`);
}

/** @param {SaleReport} report */
function headlineOf(report) {
  const { units } = soldOf(report);
  const { soldOutAfterMs } = report;
  return soldOutAfterMs === null
    ? texts.report.headline(units)
    : texts.report.headlineSoldOut(units, duration(soldOutAfterMs));
}

/** @param {CanvasRenderingContext2D} pen @param {SaleReport} report @param {(name: string) => string} ink */
function drawCurve(pen, report, ink) {
  const { left, top, width, height } = plot;
  const { points, start, end } = curveOf(report, serverNow());
  const most = Math.max(1, ...points.map(([, units]) => units));
  const x = (/** @type {number} */ at) => left + ((at - start) / Math.max(1, end - start)) * width;
  const y = (/** @type {number} */ units) => top + height * (1 - units / most);
  pen.fillStyle = ink('--surface');
  pen.fillRect(left, top, width, height);
  let level = points[0]?.[1] ?? 0;
  pen.beginPath();
  pen.moveTo(left, y(level));
  for (const [at, units] of points) {
    pen.lineTo(x(at), y(level));
    pen.lineTo(x(at), y(units));
    level = units;
  }
  pen.lineTo(left + width, y(level));
  pen.strokeStyle = ink('--hot');
  pen.lineWidth = 4;
  pen.stroke();
  pen.lineTo(left + width, top + height);
  pen.lineTo(left, top + height);
  pen.globalAlpha = 0.15;
  pen.fillStyle = ink('--hot');
  pen.fill();
  pen.globalAlpha = 1;
}

/**
 * @param {CanvasRenderingContext2D} pen @param {string} color @param {number} size @param {number} weight
 * @param {string} text @param {number} x @param {number} y @param {number} [maxWidth]
 */
function write(pen, color, size, weight, text, x, y, maxWidth) {
  pen.fillStyle = color;
  pen.font = `${weight} ${size}px system-ui, sans-serif`;
  pen.fillText(text, x, y, maxWidth);
}
