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

export interface ConnectionsOptions {
  connections: number;
  presses: number;
}

/** Every buyer has a connection of their own, and all press at once. @returns whether every press was accepted. */
export async function connections({ connections, presses }: ConnectionsOptions): Promise<boolean> {
  const testbed = await openOwnTestbed({ clients: connections });
  try {
    const { system, url, secret } = testbed;
    const tokens = mintTokens(connections, secret);
    const limitPerBuyer = Math.ceil(presses / connections);
    const saleId = await openBenchSale(system, { name: 'Bench: connections', stock: presses, limitPerBuyer });
    const answers = await pressBuy({ url, tokens, saleId, presses, connections, deadlineSeconds: 180 });
    await waitUntilSettled(system, 120);
    const { lost } = await findSettledOrders(system, answers.accepted);
    await endBenchSale(system, saleId);
    const ok = await auditTestbed(system);

    const [p50Ms, p99Ms] = [50, 99].map((percent) => percentile(answers.acceptedMs, percent)) as [
      number,
      number,
    ];
    const acceptedPerSecond = answers.accepted.length / answers.seconds;
    console.log(
      `${connections} connections at once, ${presses} presses: ${JSON.stringify(answers.failed)} failed`,
    );
    console.log(`accepted ${figure(acceptedPerSecond)}/s, p50 ${figure(p50Ms)} ms, p99 ${figure(p99Ms)} ms`);
    const verdicts = [
      judge('presses that were not accepted', [sum(answers.failed) + sum(answers.refused)], 'below', 1),
      judge('accepted purchases without an order', [lost.length], 'below', 1),
      judge('broken invariants', [ok ? 0 : 1], 'below', 1),
    ];
    printVerdicts(verdicts);
    const result = { options: { connections, presses }, acceptedPerSecond, p50Ms, p99Ms, verdicts };
    console.log(`\nWritten to ${saveResult('connections', result)}`);
    return verdicts.every(({ pass }) => pass);
  } finally {
    await testbed.close();
  }
}
