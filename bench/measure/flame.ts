import { escaped } from '../report/plots.ts';
import { type CpuProfile, packageOf } from './profile.ts';

const [width, rowHeight, mostRows] = [1_200, 17, 40];
/** Narrower boxes are left out, because they only make the page large. */
const leastPixels = 1.5;
const colours = { ours: '#f59e0b', node: '#93c5fd', packages: '#fca5a5' };

interface Frame {
  name: string;
  from: string;
  micros: number;
  children: Map<string, Frame>;
}

/** A flame chart as SVG: the width of each box is the time spent in a function and in the functions that it calls. */
export function flameChart(profile: CpuProfile): string {
  const root = frameOf(profile);
  const boxes: string[] = [];
  let rows = 0;

  function draw(frame: Frame, x: number, row: number): void {
    const boxWidth = (frame.micros / root.micros) * width;
    if (boxWidth < leastPixels || row >= mostRows) return;
    rows = Math.max(rows, row + 1);
    boxes.push(box(frame, { x, y: row * rowHeight, boxWidth, share: frame.micros / root.micros }));
    let left = x;
    for (const child of frame.children.values()) {
      draw(child, left, row + 1);
      left += (child.micros / root.micros) * width;
    }
  }
  draw(root, 0, 0);
  const height = rows * rowHeight;
  return (
    `<svg viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" ` +
    `aria-label="Flame chart" font-family="system-ui" font-size="11">${boxes.join('')}</svg>`
  );
}

function box(
  { name, from }: Frame,
  { x, y, boxWidth, share }: { x: number; y: number; boxWidth: number; share: number },
): string {
  const title = `${name}  ${from}  ${(share * 100).toFixed(1)}%`;
  const charactersThatFit = Math.floor(boxWidth / 6.2);
  const label =
    charactersThatFit > 3
      ? `<text x="${(x + 3).toFixed(1)}" y="${y + 12}">${escaped(name.slice(0, charactersThatFit))}</text>`
      : '';
  return (
    `<g><title>${escaped(title)}</title><rect x="${x.toFixed(1)}" y="${y}" width="${boxWidth.toFixed(1)}" ` +
    `height="${rowHeight - 1}" fill="${colourOf(from)}"/>${label}</g>`
  );
}

function colourOf(from: string): string {
  if (/^(sale|server|worker|runtime|messages|subscribers)\//.test(from)) return colours.ours;
  return from.startsWith('node:') || from === 'native' || from.startsWith('(')
    ? colours.node
    : colours.packages;
}

/** Merges calls of one function from the same caller, and leaves idle time out. */
function frameOf({ nodes, samples, timeDeltas }: CpuProfile): Frame {
  const own = new Map<number, number>();
  samples.forEach((id, n) => {
    own.set(id, (own.get(id) ?? 0) + (timeDeltas[n] ?? 0));
  });
  const nodeById = new Map(nodes.map((node) => [node.id, node]));

  function gather(ids: number[]): Map<string, Frame> {
    const frames = new Map<string, Frame>();
    for (const id of ids) {
      const node = nodeById.get(id);
      if (!node || node.callFrame.functionName === '(idle)') continue;
      const { functionName, url } = node.callFrame;
      const from = packageOf(url, functionName);
      const name = functionName || '(anonymous)';
      const frame = frames.get(`${name} ${from}`) ?? { name, from, micros: 0, children: new Map() };
      for (const [key, child] of gather(node.children ?? [])) {
        frame.children.set(key, merged(frame.children.get(key), child));
        frame.micros += child.micros;
      }
      frame.micros += own.get(id) ?? 0;
      frames.set(`${name} ${from}`, frame);
    }
    return frames;
  }
  const children = gather(nodes[0]?.children ?? []);
  const micros = [...children.values()].reduce((total, frame) => total + frame.micros, 0);
  return { name: 'at work', from: '(all)', micros, children };
}

function merged(one: Frame | undefined, other: Frame): Frame {
  if (!one) return other;
  const children = new Map(one.children);
  for (const [key, child] of other.children) children.set(key, merged(children.get(key), child));
  return { ...one, micros: one.micros + other.micros, children };
}
