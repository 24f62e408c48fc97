import { runCommand } from '../../commands/system.ts';
import { readResult } from '../report/results.ts';
import { figure, printTable } from '../report/table.ts';
import { type Costs, type Layout, type Outcome, shards, simulateLoad } from './simulate.ts';

/**
 * `npm run simulate-scale`: how many processes a rush needs, by the simulation with the costs that `npm run bench -- model` measured
 * on this machine. Each process has a core of its own.
 */

/** Presses a second, and over how many sales that are hot at once. */
const rushes = [
  { perSecond: 1_000, sales: 1 },
  { perSecond: 10_000, sales: 1 },
  { perSecond: 10_000, sales: 64 },
  { perSecond: 100_000, sales: 1 },
  { perSecond: 100_000, sales: 64 },
];
/** What is enough: the waits of 99 of 100 people, and how busy the busiest process is. */
const enough = { answerMs: 200, paidMs: 1_000, busy: 0.9 };
const simulatedSeconds = 1;
const kinds = ['nginx', 'servers', 'redis', 'workers', 'mongo'] as const;
type Counts = Record<(typeof kinds)[number], number>;

const layoutOf = (counts: Counts): Layout => {
  const machines: number[] = [];
  const place = (count: number) => Array.from({ length: count }, () => machines.push(1) - 1);
  // Clients are people's own devices.
  const clients = Array.from({ length: 100 }, () => machines.push(1) - 1);
  const [nginx, servers, redis, workers] = [
    place(counts.nginx),
    place(counts.servers),
    place(counts.redis),
    place(counts.workers),
  ];
  return {
    machines,
    clients,
    nginx,
    servers,
    redis,
    workers,
    mongo: [machines.push(counts.mongo) - 1],
  };
};

/** A shard has one Redis and one worker, so more of them do not help. */
const mostOf = (kind: keyof Counts, sales: number) =>
  kind === 'redis' || kind === 'workers' ? Math.min(sales, shards) : Number.POSITIVE_INFINITY;

/** Adds processes of the busiest kind until it is enough, or until that does not help any more. */
function plan(
  costs: Costs,
  perSecond: number,
  sales: number,
): { counts: Counts; outcome: Outcome; busiest: string; stuck: string } {
  const counts: Counts = { nginx: 1, servers: 1, redis: 1, workers: 1, mongo: 1 };
  for (;;) {
    const presses = perSecond * simulatedSeconds;
    const outcome = simulateLoad({ ...costs, client: { press: 0 } }, layoutOf(counts), {
      presses,
      perSecond,
      sales,
    });
    const byBusy = kinds
      .map((kind) => ({ kind, busy: outcome.busy[kind] ?? 0 }))
      .sort((one, other) => other.busy - one.busy);
    const [first] = byBusy;
    const busiest = first ? `${first.kind} ${Math.round(first.busy * 100)}%` : '';
    const isEnough =
      outcome.answerMs.p99 <= enough.answerMs &&
      outcome.paidMs.p99 <= enough.paidMs &&
      (first?.busy ?? 0) <= enough.busy;
    if (isEnough) return { counts, outcome, busiest, stuck: '' };
    const growing = byBusy.find(({ kind, busy }) => busy > 0.5 && counts[kind] < mostOf(kind, sales));
    if (!growing)
      return {
        counts,
        outcome,
        busiest,
        stuck: byBusy.flatMap(({ kind, busy }) => (busy > enough.busy ? [kind] : [])).join(', '),
      };
    const { kind, busy } = growing;
    counts[kind] = Math.min(
      mostOf(kind, sales),
      Math.max(counts[kind] + 1, Math.floor((counts[kind] * busy) / enough.busy)),
    );
  }
}

await runCommand(async () => {
  const measured = readResult<{ costs: Costs }>('model');
  if (!measured) throw new Error('expected the costs of `npm run bench -- model`, which was not run yet');
  console.log(`Costs measured by \`${measured.command}\` on ${measured.cores} cores (${measured.cpu}).`);
  const rows = rushes.map(({ perSecond, sales }) => {
    const { counts, outcome, busiest, stuck } = plan(measured.costs, perSecond, sales);
    const cores = Object.values(counts).reduce((sum, count) => sum + count, 0);
    return [
      ...[perSecond, sales].map(String),
      ...kinds.map((kind) => String(counts[kind])),
      String(cores),
      ...[outcome.acceptedPerSecond, outcome.answerMs.p99, outcome.paidMs.p99].map(figure),
      busiest,
      stuck || '-',
    ];
  });
  const head = [
    'presses/s',
    'hot sales',
    ...kinds,
    'cores',
    'accepted/s',
    'answer p99 ms',
    'paid p99 ms',
    'busiest',
    'at its limit',
  ];
  printTable(head, rows);
});
