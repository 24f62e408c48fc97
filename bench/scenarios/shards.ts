import { mintTokens } from '../load/closed-loop.ts';
import { type Cost, measurePurchaseCost, openSales } from '../measure/purchase-cost.ts';
import { saveResult } from '../report/results.ts';
import { spreadOf } from '../report/statistics.ts';
import { figure, printTable } from '../report/table.ts';
import { stampedeOn } from '../systems/sides.ts';
import { auditTestbed, openOwnTestbed } from '../systems/testbed.ts';

export interface ShardsOptions {
  rounds: number;
  presses: number;
  connections: number;
  workers: number;
  sales: number;
}

const buyers = 5_000;
/** V8 compiles the code during the first purchases. */
const warmUps = 3;

/**
 * Measures the cost of a purchase with more and more workers, at one hot sale and at many in all shards, on one Redis. The sizes take
 * turns within a round, because the speed of a shared machine changes.
 * @returns whether the invariants hold.
 */
export async function shards({ rounds, presses, connections, ...most }: ShardsOptions): Promise<boolean> {
  const side = stampedeOn(await openOwnTestbed({ clients: connections }));
  const { testbed } = side;
  try {
    const tokens = mintTokens(buyers, testbed.secret);
    const saleIds = await openSales(testbed.system, most.sales);
    const rows: { workers: number; sales: number; costs: Cost[] }[] = [];
    for (let workers = 1; workers <= most.workers; workers *= 2) {
      while (testbed.scratch.workers.length < workers) await testbed.scratch.startWorker();
      const measure = (sales: number) =>
        measurePurchaseCost(side, { presses, connections, tokens, saleIds: saleIds.slice(0, sales) });
      for (let n = 0; n < warmUps; n++) await measure(most.sales);
      const ofWorkers = sizesUpTo(most.sales).map((sales) => ({ workers, sales, costs: [] as Cost[] }));
      for (let n = 0; n < rounds; n++)
        for (const { sales, costs } of ofWorkers) costs.push(await measure(sales));
      rows.push(...ofWorkers);
    }
    const middle = (costs: Cost[], what: keyof Cost) => spreadOf(costs.map((cost) => cost[what])).median;
    printTable(
      ['workers', 'hot sales', 'CPU µs a purchase', 'settled/s', 'p99 ms'],
      rows.map(({ workers, sales, costs }) => [
        String(workers),
        String(sales),
        ...(['cpuMicros', 'settledPerSecond', 'p99Ms'] as const).map((what) => figure(middle(costs, what))),
      ]),
    );
    const ok = await auditTestbed(testbed.system);
    console.log(
      `\nWritten to ${saveResult('shards', { options: { rounds, presses, connections, ...most }, rows })}`,
    );
    return ok;
  } finally {
    await side.close();
  }
}

/** 1, 8, 64 … up to `most`. */
function sizesUpTo(most: number): number[] {
  const sizes: number[] = [];
  for (let size = 1; size <= most; size *= 8) sizes.push(size);
  return sizes;
}
