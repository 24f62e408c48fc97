import { openSocketClient } from '../../rehearsal/socket-client.ts';
import { mintTokens, pressBuy } from '../load/closed-loop.ts';
import { saveResult } from '../report/results.ts';
import { percentile, sum } from '../report/statistics.ts';
import { figure } from '../report/table.ts';
import { judge, printVerdicts } from '../report/targets.ts';
import {
  auditTestbed,
  endBenchSale,
  findSettledOrders,
  openBenchSale,
  openOwnTestbed,
  waitUntilSettled,
} from '../systems/testbed.ts';

export interface RushOptions {
  seconds: number;
  buyers: number;
  connections: number;
}

/** More than any machine accepts a second, so that the sale never sells out. */
const unitsPerSecond = 100_000;
const warmUpSeconds = 10;

/** Measures latencies and stock messages under a closed-loop load without pause. @returns whether they meet their targets. */
export async function rush({ seconds, buyers, connections }: RushOptions): Promise<boolean> {
  const testbed = await openOwnTestbed();
  try {
    const { system, url, secret } = testbed;
    const tokens = mintTokens(buyers, secret);
    const presses = unitsPerSecond * (seconds + warmUpSeconds);
    const sale = { name: 'Bench: rush', stock: presses, limitPerBuyer: presses };
    const saleId = await openBenchSale(system, sale);
    const load = { url, tokens, saleId, presses, connections, deadlineSeconds: seconds + 60 };
    await pressBuy({ ...load, seconds: warmUpSeconds });
    await waitUntilSettled(system, 120);

    let stockMessages = 0;
    const tab = await openSocketClient({ url, saleId, token: tokens[0] ?? '' }, (event) => {
      if (event.startsWith('["stock"')) stockMessages += 1;
    });
    const answers = await pressBuy({ ...load, seconds });
    const stockPerSecond = stockMessages / answers.seconds;
    tab.close();
    await waitUntilSettled(system, 120);
    const { lost, settledMs } = await findSettledOrders(system, answers.accepted);
    await endBenchSale(system, saleId);
    const ok = await auditTestbed(system);

    const acceptedPerSecond = answers.accepted.length / answers.seconds;
    const [answerP50Ms, answerP99Ms] = [50, 99].map((percent) => percentile(answers.acceptedMs, percent));
    const paidP50Ms = percentile(settledMs, 50);
    const paidP99Ms = percentile(settledMs, 99);
    console.log(
      `${connections} connections press for ${seconds} s: accepted ${figure(acceptedPerSecond)}/s, ` +
        `answer p50 ${figure(answerP50Ms ?? Number.NaN)} ms, p99 ${figure(answerP99Ms ?? Number.NaN)} ms`,
    );
    const verdicts = [
      judge('accepted → paid p50, ms', [paidP50Ms], 'below', 250),
      judge('accepted → paid p99, ms', [paidP99Ms], 'below', 1_000),
      judge('stock messages a second', [stockPerSecond], 'at least', 4),
      judge('presses that failed', [sum(answers.failed) + sum(answers.refused)], 'below', 1),
      judge('accepted purchases without an order', [lost.length], 'below', 1),
      judge('broken invariants', [ok ? 0 : 1], 'below', 1),
    ];
    printVerdicts(verdicts);
    const measured = { acceptedPerSecond, answerP50Ms, answerP99Ms, paidP50Ms, paidP99Ms, stockPerSecond };
    const options = { seconds, buyers, connections };
    console.log(`\nWritten to ${saveResult('rush', { options, ...measured, verdicts })}`);
    return verdicts.every(({ pass }) => pass);
  } finally {
    await testbed.close();
  }
}
