import { mintTokens, pressBuy } from '../load/closed-loop.ts';
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

export interface ConnectionsOptions {
  connections: number;
  presses: number;
}

/** Every buyer comes over a connection of their own, all at once. @returns whether none was turned away. */
export async function connections({ connections, presses }: ConnectionsOptions): Promise<boolean> {
  const stage = await openOwnStage({ clients: connections });
  try {
    const { system, url, secret } = stage;
    const tokens = mintTokens(connections, secret);
    const limitPerBuyer = Math.ceil(presses / connections);
    const saleId = await openBenchSale(system, { name: 'Bench: connections', stock: presses, limitPerBuyer });
    const crowd = await pressBuy({ url, tokens, saleId, presses, connections, deadlineSeconds: 180 });
    await waitForQuiet(system, 120);
    const { lost } = await lookUpOrders(system, crowd.accepted);
    await endBenchSale(system, saleId);
    const ok = await auditStage(system);

    const [p50Ms, p99Ms] = [50, 99].map((percent) => percentile(crowd.acceptedMs, percent)) as [
      number,
      number,
    ];
    const acceptedPerSecond = crowd.accepted.length / crowd.seconds;
    console.log(
      `${connections} connections at once, ${presses} presses: ${JSON.stringify(crowd.failed)} failed`,
    );
    console.log(`accepted ${figure(acceptedPerSecond)}/s, p50 ${figure(p50Ms)} ms, p99 ${figure(p99Ms)} ms`);
    const verdicts = [
      judge('presses without a proper answer', [sum(crowd.failed) + sum(crowd.refused)], 'below', 1),
      judge('accepted purchases without an order', [lost.length], 'below', 1),
      judge('broken invariants', [ok ? 0 : 1], 'below', 1),
    ];
    printVerdicts(verdicts);
    const result = { options: { connections, presses }, acceptedPerSecond, p50Ms, p99Ms, verdicts };
    console.log(`\nWritten to ${saveResult('connections', result)}`);
    return verdicts.every(({ pass }) => pass);
  } finally {
    await stage.close();
  }
}
