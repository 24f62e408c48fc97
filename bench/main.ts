import { parseArgs } from 'node:util';
import { runCommand } from '../commands/system.ts';
import { prepareK6 } from './load/k6.ts';
import { check } from './report/check.ts';
import { report } from './report/report.ts';
import { adapters } from './scenarios/adapters.ts';
import { audit } from './scenarios/audit.ts';
import { backlog } from './scenarios/backlog.ts';
import { burst } from './scenarios/burst.ts';
import { cancellations } from './scenarios/cancellations.ts';
import { compare } from './scenarios/compare.ts';
import { connections } from './scenarios/connections.ts';
import { crosscheck } from './scenarios/crosscheck.ts';
import { fairness } from './scenarios/fairness.ts';
import { fanout } from './scenarios/fanout.ts';
import { growth } from './scenarios/growth.ts';
import { ladder } from './scenarios/ladder.ts';
import { model } from './scenarios/model.ts';
import { payments } from './scenarios/payments.ts';
import { refusals } from './scenarios/refusals.ts';
import { replicas } from './scenarios/replicas.ts';
import { room } from './scenarios/room.ts';
import { rush } from './scenarios/rush.ts';
import { sellOut } from './scenarios/sell-out.ts';
import { shards } from './scenarios/shards.ts';
import { soak, sustained } from './scenarios/sustained.ts';
import { waiting } from './scenarios/waiting.ts';
import { whole } from './scenarios/whole.ts';
import { workers } from './scenarios/workers.ts';

/** A scenario: its options with their defaults, and the function that runs it. */
interface Scenario<Numbers extends Record<string, number> = Record<string, number>> {
  numbers: Numbers;
  /** @returns whether every invariant held and every target was met. */
  run(
    numbers: Numbers,
    others: { sale?: string | undefined; engine?: string | undefined; profile?: boolean | undefined },
  ): Promise<boolean>;
}

const scenario = <Numbers extends Record<string, number>>(
  numbers: Numbers,
  run: Scenario<Numbers>['run'],
): Scenario => ({ numbers, run: run as unknown as Scenario['run'] });

const scenarios: Record<string, Scenario> = {
  burst: scenario({ buyers: 5_000, presses: 20_000, stock: 1_000, connections: 200 }, (numbers, { sale }) =>
    burst({ ...numbers, sale }),
  ),
  compare: scenario(
    { rounds: 5, presses: 20_000, buyers: 5_000, connections: 200, backlog: 50_000 },
    compare,
  ),
  ladder: scenario(
    { rounds: 3, presses: 10_000, buyers: 5_000, connections: 200, backlog: 50_000 },
    (numbers, { profile = false }) => ladder({ ...numbers, profile }),
  ),
  rush: scenario({ seconds: 30, buyers: 5_000, connections: 200 }, rush),
  whole: scenario({ rounds: 3, seconds: 5, buyers: 5_000 }, whole),
  replicas: scenario({ rounds: 3, seconds: 4, connections: 200, buyers: 5_000 }, replicas),
  refusals: scenario({ rounds: 3, presses: 10_000, buyers: 5_000, connections: 200 }, refusals),
  audit: scenario({ orders: 1_000_000, buyers: 100_000, sales: 1 }, audit),
  backlog: scenario({ rounds: 3, backlog: 50_000, buyers: 5_000 }, backlog),
  workers: scenario({ backlog: 50_000, buyers: 5_000 }, (numbers, { engine = 'bull' }) =>
    workers({ ...numbers, engine }),
  ),
  cancellations: scenario({ rounds: 3, orders: 5_000, atOnce: 1_000, connections: 200 }, cancellations),
  'sell-out': scenario({ stock: 1_000, buyers: 5_000, windowSeconds: 5, connections: 200 }, sellOut),
  model: scenario({ rounds: 1, seconds: 4, buyers: 5_000 }, model),
  payments: scenario(
    { rounds: 2, payments: 2_000, atOnce: 200, connections: 200, expiries: 2_500 },
    payments,
  ),
  fairness: scenario(
    { clients: 200, botPercent: 5, accountsPerBot: 50, stock: 100, bits: 13, people: 2 },
    fairness,
  ),
  room: scenario({ people: 500, stock: 300, perMinute: 600, connections: 50, tabs: 0 }, room),
  waiting: scenario({ people: 1_000_000, rounds: 5, tabs: 10_000, connections: 200 }, waiting),
  sustained: scenario({ rate: 1_000, seconds: 30, buyers: 10_000, connections: 1_000 }, sustained),
  soak: scenario({ rate: 300, minutes: 10, buyers: 10_000, connections: 200 }, soak),
  connections: scenario({ connections: 10_000, presses: 20_000 }, connections),
  fanout: scenario({ sockets: 5_000, rate: 200, seconds: 15 }, fanout),
  adapters: scenario({ rounds: 3, rate: 20, orders: 200, seconds: 5 }, adapters),
  growth: scenario(
    { rounds: 7, presses: 10_000, orders: 1_000_000, sales: 10_000, connections: 10_000, workers: 4 },
    growth,
  ),
  shards: scenario({ rounds: 3, presses: 5_000, connections: 200, workers: 4, sales: 64 }, shards),
  crosscheck: scenario({ rounds: 3, presses: 10_000, buyers: 5_000, connections: 200 }, crosscheck),
  k6: scenario({ buyers: 5_000, stock: 50_000 }, prepareK6),
  check: scenario({ rounds: 2 }, check),
  report: scenario({}, report),
};

/** `npm run bench -- <scenario>`: exit code 1 when an invariant is broken or a target missed. */
await runCommand(async () => {
  const [name = '', ...args] = process.argv.slice(2);
  const chosen = Object.hasOwn(scenarios, name) ? scenarios[name] : undefined;
  if (!chosen) throw new Error(`expected the name of a scenario:\n${usage()}`);
  const numeric = Object.keys(chosen.numbers).map((option) => [option, { type: 'string' as const }]);
  const { values } = parseArgs({
    args,
    options: {
      ...(Object.fromEntries(numeric) as Record<string, { type: 'string' }>),
      sale: { type: 'string' },
      engine: { type: 'string' },
      profile: { type: 'boolean' },
    },
  });
  const given: Record<string, string | boolean | undefined> = values;
  const numbers = Object.entries(chosen.numbers).map(([option, otherwise]) => {
    const text = given[option];
    return [option, typeof text === 'string' ? wholeNumber(option, text) : otherwise];
  });
  const ok = await chosen.run(Object.fromEntries(numbers), values);
  if (!ok) throw new Error('An invariant was broken, a request failed, or a target was missed.');
});
// A testbed that failed while it was starting leaves processes behind, which end with this one.
process.exit();

function usage(): string {
  const lines = Object.entries(scenarios).map(([name, { numbers }]) => {
    const options = Object.entries(numbers).map(([option, otherwise]) => `[--${option} ${otherwise}]`);
    return `  npm run bench -- ${name} ${options.join(' ')}`;
  });
  return lines.join('\n');
}

function wholeNumber(name: string, text: string): number {
  if (/^\d{1,8}$/.test(text)) return Number(text);
  throw new Error(`--${name}: expected a whole number from 0 to 99999999, got ${text}`);
}
