import { mintTokens, pressBuy } from '../load/closed-loop.ts';
import { openTab } from '../load/tab.ts';
import { saveResult } from '../report/results.ts';
import { percentile, sum } from '../report/statistics.ts';
import { figure } from '../report/table.ts';
import { judge, printVerdicts } from '../report/targets.ts';
import {
  auditStage,
  endBenchSale,
  lookUpOrders,
  openBenchSale,
  openOwnStage,
  waitForQuiet,
} from '../systems/stage.ts';

export interface RushOptions {
  seconds: number;
  buyers: number;
  connections: number;
}

/** More than any machine accepts in a second, so that the sale does not sell out. */
const unitsPerSecond = 100_000;
const warmUpSeconds = 10;

/** A crowd presses without pause while a tab watches. @returns whether what people wait for is within its bounds. */
export async function rush({ seconds, buyers, connections }: RushOptions): Promise<boolean> {
  const stage = await openOwnStage();
  try {
    const { system, url, secret } = stage;
    const tokens = mintTokens(buyers, secret);
    const presses = unitsPerSecond * (seconds + warmUpSeconds);
    const sale = { name: 'Bench: rush', stock: presses, limitPerBuyer: presses };
    const saleId = await openBenchSale(system, sale);
    const load = { url, tokens, saleId, presses, connections, deadlineSeconds: seconds + 60 };
    await pressBuy({ ...load, seconds: warmUpSeconds });
    await waitForQuiet(system, 120);

    let stockMessages = 0;
    const tab = await openTab({ url, saleId, token: tokens[0] ?? '' }, (event) => {
      if (event.startsWith('["stock"')) stockMessages += 1;
    });
    const crowd = await pressBuy({ ...load, seconds });
    const stockPerSecond = stockMessages / crowd.seconds;
    tab.close();
    await waitForQuiet(system, 120);
    const { lost, settledMs } = await lookUpOrders(system, crowd.accepted);
    await endBenchSale(system, saleId);
    const ok = await auditStage(system);

    const acceptedPerSecond = crowd.accepted.length / crowd.seconds;
    const [answerP50Ms, answerP99Ms] = [50, 99].map((percent) => percentile(crowd.acceptedMs, percent));
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
      judge('presses that failed', [sum(crowd.failed) + sum(crowd.refused)], 'below', 1),
      judge('accepted purchases without an order', [lost.length], 'below', 1),
      judge('broken invariants', [ok ? 0 : 1], 'below', 1),
    ];
    printVerdicts(verdicts);
    const measured = { acceptedPerSecond, answerP50Ms, answerP99Ms, paidP50Ms, paidP99Ms, stockPerSecond };
    const options = { seconds, buyers, connections };
    console.log(`\nWritten to ${saveResult('rush', { options, ...measured, verdicts })}`);
    return verdicts.every(({ pass }) => pass);
  } finally {
    await stage.close();
  }
}
