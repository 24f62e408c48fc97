import type { RehearsalPart, RehearsalReport, RehearsalStep } from '../insight/contract.ts';
import { type Html, html } from '../server/pages/html.ts';
import { missedIn, signInSeconds, signInsTakeSeconds, type Target, targets } from './verdict.ts';

const number = (value: number) => value.toLocaleString('en');
const time = (ms: number) => (ms < 10_000 ? `${number(ms)} ms` : `${number(Math.round(ms / 1_000))} s`);

/** A rehearsal's result as one page without scripts or further files, to be shown or printed. */
export function rehearsalPage(report: RehearsalReport): string {
  const { name, at, url, buyers, withinSeconds, go, taken, weakest, steps, mode, notes } = report;
  const sentence = go
    ? `This deployment takes ${number(buyers)} buyers who all press within ${withinSeconds} s of the opening.`
    : `This deployment takes ${number(taken)} of the ${number(buyers)} buyers who all press within ${withinSeconds} s.`;
  const gaveWay = weakest ? html`<p class="weakest">What gave way first: <b>${weakest}</b>.</p>` : '';
  const what = mode === 'draw' ? 'enters the draw' : 'presses Buy';
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Rehearsal of ${name}: ${go ? 'go' : 'no-go'}</title>
<style>
body { max-width: 60rem; margin: 0 auto; padding: 1.5rem; font: 1rem/1.5 system-ui, sans-serif; color: #16171a; background: #fff }
h1 { font-size: 1.25rem; margin: 0 }
.verdict { font-size: 3rem; font-weight: 700; line-height: 1.2; margin: .5rem 0 0; color: ${go ? '#1c7146' : '#b32611'} }
.lead { font-size: 1.25rem; margin: 0 }
.muted { color: #5c5e66 }
.scroll { overflow-x: auto }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { text-align: right; padding: .375rem .5rem; border-bottom: 1px solid #e2ded4; vertical-align: top }
th:first-child, td:first-child { text-align: left }
td { white-space: nowrap }
.missed { color: #b32611; font-weight: 700 }
</style>
</head>
<body>
<h1>Rehearsal of ${name}</h1>
<p class="verdict">${go ? 'Go' : 'No-go'}</p>
<p class="lead">${sentence}</p>
${gaveWay}
<p class="muted">${at.slice(0, 16).replace('T', ' ')} UTC · ${url} · hidden copies of the sale, with as many units for each buyer as it has</p>
<p><b>How long 99 of 100 waited, by the size of the crowd. Each buyer opens the page, keeps it open, ${what}, and pays.</b></p>
<div class="scroll" tabindex="0" role="region" aria-label="Times by crowd">
<table>
<thead><tr><th scope="col">What</th><th scope="col">At most</th>${steps.map(headOf)}</tr></thead>
<tbody>${targets.filter(({ name: part }) => steps.some(({ parts }) => parts[part])).map((target) => rowOf(target, steps))}
<tr><th scope="row">What became of the presses</th><td></td>${steps.map(outcomesOf)}</tr>
</tbody>
</table>
</div>
<p>${signInSentence(report)}</p>
<ul class="muted">${notes.map((note) => html`<li>${note}</li>`)}</ul>
</body>
</html>
`;
  return page.text;
}

const headOf = ({ buyers, stock }: RehearsalStep): Html =>
  html`<th scope="col">${number(buyers)} buyers, ${number(stock)} units</th>`;

function rowOf(target: Target, steps: RehearsalStep[]): Html {
  const cells = steps.map((step) => cellOf(step.parts[target.name], missedIn(step).includes(target)));
  return html`<tr><th scope="row">${target.title}</th><td>${time(target.p99Ms)}</td>${cells}</tr>\n`;
}

function cellOf(part: RehearsalPart | undefined, isMissed: boolean): Html {
  if (!part) return html`<td>–</td>`;
  const faults = part.faults.map((fault) => html`<br>${fault}`);
  return html`<td class="${isMissed ? 'missed' : ''}">${time(part.p99Ms)}${faults}</td>`;
}

const outcomesOf = ({ outcomes }: RehearsalStep): Html =>
  html`<td>${Object.entries(outcomes).map(([outcome, count]) => html`${number(count)} ${outcome.replaceAll('-', ' ')}<br>`)}</td>`;

function signInSentence(report: RehearsalReport): string {
  const { signIns, buyers } = report;
  if (signIns.count === 0) return 'Buyers sign in at the identity provider, which was not measured.';
  const seconds = signInsTakeSeconds(report, buyers);
  if (!Number.isFinite(seconds) || signIns.failed > 0) return `Sign-ins failed: ${signIns.faults.join(', ')}`;
  return `${number(signIns.perSecond)} buyers can sign in a second, so all need ${number(seconds)} s, of at most ${signInSeconds} s before the opening.`;
}
