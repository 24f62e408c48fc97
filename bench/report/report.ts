import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { flameChart } from '../measure/flame.ts';
import { profiledEntries, readProfile } from '../measure/profile.ts';
import type { Sample, Second } from '../measure/samples.ts';
import type { CompareResult } from '../scenarios/compare.ts';
import { sideNames } from '../systems/sides.ts';
import { columns, comparisonRows } from './comparison.ts';
import { barPlot, escaped, linePlot } from './plots.ts';
import { type RunEnvironment, readResult } from './results.ts';
import { spreadOf, spreadsOf } from './statistics.ts';
import { figure } from './table.ts';
import type { Verdict } from './targets.ts';

const page = new URL('../results/report.html', import.meta.url);
const readme = new URL('../../README.md', import.meta.url);
const [begin, end] = ['<!-- bench:compare -->', '<!-- /bench:compare -->'];

/** Writes the page of plots and the README's table from the scenarios' results. */
export async function report(): Promise<boolean> {
  const sections = [comparison(), ladder(), ...profiles(), ...overTime(), growth(), verdicts()].filter(
    Boolean,
  );
  if (sections.length === 0)
    throw new Error('There are no results yet: run `npm run bench -- compare` first.');
  const style =
    'body{font:16px/1.5 system-ui;max-width:60rem;margin:2rem auto;padding:0 1rem}svg{max-width:100%}';
  const head = `<meta charset="utf-8"><title>Stampede benchmarks</title><style>${style}</style>`;
  writeFileSync(
    page,
    `<!doctype html><html lang="en">${head}<h1>Stampede benchmarks</h1>${sections.join('\n')}</html>\n`,
  );
  console.log(`Wrote ${fileURLToPath(page)}`);
  writeReadmeTable();
  return true;
}

const heading = (title: string, { at, command, cpu, cores, node }: RunEnvironment) =>
  `<h2>${title}</h2><p><code>${escaped(command)}</code>, ${at.slice(0, 10)}, ${escaped(cpu)}, ${cores} cores, Node ${node}</p>`;

function comparison(): string {
  const result = readResult<CompareResult>('compare');
  if (!result) return '';
  const plots = columns.slice(0, -1).map(([column, name]) => {
    const bars = sideNames.map((side) => {
      const { median: value, min, max } = spreadsOf(result.rounds[side])[column];
      return { label: side, value, min, max, text: figure(value) };
    });
    return `<h3>${escaped(name)}</h3>${barPlot(name, bars)}`;
  });
  return heading('Compared with two plain systems', result) + plots.join('');
}

interface LadderResult {
  layers: Record<string, { acceptedPerSecond: number; allMicros: number }[]>;
}

function ladder(): string {
  const result = readResult<LadderResult>('ladder');
  if (!result) return '';
  const bars = Object.entries(result.layers).map(([label, steps]) => {
    const { median: value, min, max } = spreadOf(steps.map(({ allMicros }) => allMicros));
    return { label, value, min, max, text: `${figure(value)} µs` };
  });
  return heading('What each layer costs', result) + barPlot('CPU of a purchase', bars);
}

/** Flame charts of the profiles that `ladder --profile` wrote. */
function profiles(): string[] {
  return Object.keys(profiledEntries).map((entry) => {
    const profile = readProfile(`${entry}-1`);
    return profile ? `<h2>Where a ${entry} under load spends its time</h2>${flameChart(profile)}` : '';
  });
}

interface OverTimeResult {
  samples: Sample[];
  perSecond: Second[];
}

function overTime(): string[] {
  return ['sustained', 'soak'].map((scenario) => {
    const result = readResult<OverTimeResult>(scenario);
    if (!result) return '';
    const { samples, perSecond } = result;
    const processes = Object.keys(samples[0]?.processes ?? {});
    const ofProcesses = (what: 'cpu' | 'memoryMb', y: string) =>
      linesOver(samples, y, processes, ({ processes }, name) => processes[name]?.[what] ?? 0);
    return [
      heading(scenario, result),
      linesOver(perSecond, 'a second', ['acceptedPerSecond', 'settledPerSecond'], read),
      linesOver(perSecond, 'press to order, ms', ['settleP50Ms', 'settleP99Ms'], read),
      linesOver(samples, 'queued purchases', ['queued'], read),
      linesOver(samples, 'ms each', ['redisScriptMs', 'mongoTransactionMs'], read),
      ofProcesses('cpu', 'cores used'),
      ofProcesses('memoryMb', 'memory, MB'),
    ].join('');
  });
}

const read = (of: object, name: string) => (of as Record<string, number | null>)[name] ?? 0;

/** Plots one line for each name over the seconds of a run. */
function linesOver<Point extends { seconds: number }>(
  points: Point[],
  y: string,
  names: string[],
  readOf: (point: Point, name: string) => number,
): string {
  const lines = names.map((label) => ({
    label,
    points: points.map((point): [number, number] => [point.seconds, readOf(point, label)]),
  }));
  return linePlot(y, lines, { x: 'seconds', y });
}

interface GrowthResult {
  axes: { what: string; sizes: number[]; costs: { ofSmall: number }[][] }[];
}

function growth(): string {
  const result = readResult<GrowthResult>('growth');
  if (!result) return '';
  const plots = result.axes.map(({ what, sizes, costs }) => {
    const points = sizes.map((size, n): [number, number] => {
      return [size, spreadOf((costs[n] ?? []).map(({ ofSmall }) => ofSmall)).median];
    });
    return linePlot(what, [{ label: what, points }], {
      x: what,
      y: "CPU of a purchase, of a small shop's",
      logarithmic: true,
    });
  });
  return heading('As the shop grows', result) + plots.join('');
}

/** All targets, and whether each was met. */
function verdicts(): string {
  const scenarios = ['compare', 'refusals', 'ladder', 'sustained', 'soak', 'fanout', 'connections', 'growth'];
  const rows = scenarios.flatMap((scenario) =>
    (readResult<{ verdicts: Verdict[] }>(scenario)?.verdicts ?? []).map(
      ({ what, ratio, is, target, pass }) => {
        const cells = [scenario, what, figure(ratio.median), `${is} ${target}`, pass ? 'met' : 'missed'];
        return `<tr>${cells.map((cell) => `<td>${escaped(cell)}</td>`).join('')}</tr>`;
      },
    ),
  );
  return rows.length > 0 ? `<h2>Targets</h2><table>${rows.join('')}</table>` : '';
}

/** Replaces the table between the README's two markers. Without the markers README.md stays unchanged. */
function writeReadmeTable(): void {
  const result = readResult<CompareResult>('compare');
  const text = readFileSync(readme, 'utf8');
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (!result || from === -1 || to < from) {
    console.log(
      `README.md is unchanged: it has no ${begin} … ${end}, or there is no result of \`compare\` yet.`,
    );
    return;
  }
  const rows = [
    ['median (range)', ...sideNames],
    ['---', ...sideNames.map(() => '--:')],
    ...comparisonRows(result),
  ];
  const table = rows.map((row) => `| ${row.join(' | ')} |`).join('\n');
  const { at, command, cpu, cores, node } = result;
  const under = `\`${command}\` on ${at.slice(0, 10)}: ${cpu}, ${cores} cores shared with the load, Node ${node}.`;
  writeFileSync(readme, `${text.slice(0, from)}${begin}\n${table}\n\n${under}\n${text.slice(to)}`);
  console.log("Wrote README.md's table");
}
