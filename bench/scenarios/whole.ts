import { mintTokens } from '../load/closed-loop.ts';
import { buyWholeOrders, type Way } from '../load/whole-orders.ts';
import { saveResult } from '../report/results.ts';
import { percentile, spreadOf, sum } from '../report/statistics.ts';
import { figure } from '../report/table.ts';
import { judge, printVerdicts } from '../report/targets.ts';
import {
  auditTestbed,
  endBenchSale,
  findSettledOrders,
  openBenchSale,
  openOwnTestbed,
  type Testbed,
  waitUntilSettled,
} from '../systems/testbed.ts';

export interface WholeOptions {
  rounds: number;
  seconds: number;
  buyers: number;
}

interface Round {
  perSecond: number;
  p50Ms: number;
  p99Ms: number;
  /** Orders that were seen paid and are not so in MongoDB, and ends that were not paid. */
  faults: number;
}

const ways: Way[] = ['polling', 'waiting'];
const clientCounts = [1, 20, 200, 1_000];
const warmUpSeconds = 8;
/** More than any machine sells in a round. */
const units = 5_000_000;

/** Whole orders, from the press until an API client sees them paid. @returns whether the targets were met. */
export async function whole({ rounds, seconds, buyers }: WholeOptions): Promise<boolean> {
  const testbed = await openOwnTestbed();
  try {
    const tokens = mintTokens(buyers, testbed.secret);
    const steps = ways.flatMap((way) => clientCounts.map((clients) => ({ way, clients })));
    for (const way of ways) await play(testbed, tokens, { way, clients: 200, seconds: warmUpSeconds });
    const played = steps.map((step) => ({ ...step, rounds: [] as Round[] }));
    let broken = 0;
    for (let n = 0; n < rounds; n++) {
      for (const step of played) step.rounds.push(await play(testbed, tokens, { ...step, seconds }));
      if (!(await auditTestbed(testbed.system))) broken += 1;
    }
    for (const { way, clients, rounds } of played) {
      const of = (what: keyof Round) => figure(spreadOf(rounds.map((round) => round[what])).median);
      const wait = `p50 ${of('p50Ms')} ms, p99 ${of('p99Ms')} ms`;
      console.log(`${way}, ${clients} clients: ${of('perSecond')} whole orders a second, ${wait}`);
    }
    const of = (way: Way, clients: number) =>
      played.find((step) => step.way === way && step.clients === clients)?.rounds ?? [];
    const rates = (way: Way, clients: number) => of(way, clients).map(({ perSecond }) => perSecond);
    const many = rates('waiting', 1_000);
    const verdicts = [
      judge('200 clients waiting, whole orders a second', rates('waiting', 200), 'at least', 4_000),
      judge(
        '200 clients waiting, p50 ms',
        of('waiting', 200).map(({ p50Ms }) => p50Ms),
        'below',
        150,
      ),
      judge(
        '1,000 clients waiting, times those of 200',
        rates('waiting', 200).map((rate, n) => (many[n] ?? Number.NaN) / rate),
        'at least',
        1,
      ),
      judge('200 clients polling, whole orders a second', rates('polling', 200), 'at least', 2_000),
      judge(
        'orders that were not paid as was said',
        [played.flatMap((step) => step.rounds).reduce((total, { faults }) => total + faults, 0)],
        'below',
        1,
      ),
      judge('broken invariants', [broken], 'below', 1),
    ];
    printVerdicts(verdicts);
    const options = { rounds, seconds, buyers };
    console.log(`\nWritten to ${saveResult('whole', { options, steps: played, verdicts })}`);
    return verdicts.every(({ pass }) => pass);
  } finally {
    await testbed.close();
  }
}

async function play(
  { system, url }: Testbed,
  tokens: string[],
  load: { way: Way; clients: number; seconds: number },
): Promise<Round> {
  const saleId = await openBenchSale(system, { name: 'Bench: whole', stock: units, limitPerBuyer: units });
  const { paid, failed, paidMs, seconds } = await buyWholeOrders({ ...load, url, tokens, saleId });
  await waitUntilSettled(system, 120);
  const { byStatus } = await findSettledOrders(system, paid);
  await endBenchSale(system, saleId);
  for (const [what, times] of Object.entries(failed)) console.log(`${times} times: ${what}`);
  return {
    perSecond: paid.length / seconds,
    p50Ms: percentile(paidMs, 50),
    p99Ms: percentile(paidMs, 99),
    faults: sum(failed) + paid.length - (byStatus.paid ?? 0),
  };
}
