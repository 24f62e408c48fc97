/** A sale's report as a PNG picture to share. */

/** @import { SaleReport } from '../../../insight/contract.ts' */

import { duration, number } from '../../shared/format.js';
import { download } from '../http.js';
import { figuresOf } from '../sales/report.js';

const WIDTH = 1_200;
const HEIGHT = 675;
const EDGE = 64;
const plot = { left: EDGE, top: 250, width: 680, height: 340 };

/** @param {SaleReport} report */
export async function downloadReportPicture(report) {
  const canvas = document.createElement('canvas');
  canvas.width = WIDTH;
  canvas.height = HEIGHT;
  const pen = canvas.getContext('2d');
  if (!pen) throw new Error('This browser has no 2D canvas');
  const style = getComputedStyle(document.documentElement);
  const ink = (/** @type {string} */ name) => style.getPropertyValue(name).trim();

  pen.fillStyle = ink('--ground');
  pen.fillRect(0, 0, WIDTH, HEIGHT);
  write(pen, ink('--hot-text'), 22, 700, headlineOf(report), EDGE, 92);
  write(pen, ink('--ink'), 60, 800, report.sale.product.name, EDGE, 168, WIDTH - 2 * EDGE);
  drawCurve(pen, report, ink);
  figuresOf(report).forEach(([name, value], n) => {
    const top = plot.top + n * 40;
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
  write(pen, ink('--muted'), 16, 600, `Stampede · ${report.sale.closesAt.slice(0, 10)}`, EDGE, HEIGHT - 32);

  const blob = await new Promise((resolve) => canvas.toBlob(resolve, 'image/png'));
  if (!(blob instanceof Blob)) throw new Error('The browser could not create the picture');
  download(blob, `sale-${report.sale.id}.png`);
}

/** @param {SaleReport} report */
function headlineOf({ soldOutAfterMs, paidUnits, cancelledUnits }) {
  const sold = `${number(paidUnits - cancelledUnits)} sold`;
  return soldOutAfterMs === null ? sold : `${sold}, the last one after ${duration(soldOutAfterMs)}`;
}

/** @param {CanvasRenderingContext2D} pen @param {SaleReport} report @param {(name: string) => string} ink */
function drawCurve(pen, { points, units, stock }, ink) {
  const { left, top, width, height } = plot;
  const first = points[0]?.[0] ?? 0;
  const started = points.find(([, units_]) => units_ < units)?.[0] ?? first;
  const last = points.at(-1)?.[0] ?? first;
  const span = Math.max(1, last - started) * 1.1;
  const x = (/** @type {number} */ at) => left + Math.max(0, (at - started + span * 0.05) / span) * width;
  const y = (/** @type {number} */ left_) => top + height * (1 - left_ / Math.max(1, units));
  pen.fillStyle = ink('--surface');
  pen.fillRect(left, top, width, height);
  pen.beginPath();
  pen.moveTo(left, y(units));
  let level = units;
  for (const [at, now] of points.filter(([when]) => when >= started)) {
    pen.lineTo(x(at), y(level));
    pen.lineTo(x(at), y(now));
    level = now;
  }
  pen.lineTo(left + width, y(stock));
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
