import { pressWithAutocannon } from '../load/autocannon.ts';
import { type LoadReport, mintTokens } from '../load/closed-loop.ts';
import { measureCpu } from '../measure/process-usage.ts';
import { percentile, sum } from '../report/statistics.ts';
import {
  auditTestbed,
  endBenchSale,
  findSettledOrders,
  openBenchSale,
  openTestbed,
  waitUntilSettled,
} from '../systems/testbed.ts';

export interface BurstOptions {
  buyers: number;
  presses: number;
  stock: number;
  connections: number;
  /** An open sale to buy at instead of one created for the run. */
  sale: string | undefined;
}

const deadlineSeconds = 120;

/** Many buyers press Buy at a sale with far too little stock, through nginx. @returns whether every invariant holds. */
export async function burst({ buyers, presses, stock, connections, sale }: BurstOptions): Promise<boolean> {
  const { system, url, secret, processes, close } = await openTestbed({ clients: connections });
  try {
    const tokens = mintTokens(buyers, secret);
    const saleId = sale ?? (await openBenchSale(system, { name: 'Bench: burst', stock, limitPerBuyer: 2 }));
    console.log(
      `${presses} presses by ${buyers} buyers over ${connections} connections: ${url}/sales/${saleId}`,
    );

    const cpuUsed = measureCpu(processes);
    const answers = await pressWithAutocannon({ url, tokens, saleId, presses, connections, deadlineSeconds });
    await waitUntilSettled(system, deadlineSeconds);
    const cpu = cpuUsed();
    const settling = await findSettledOrders(system, answers.accepted);
    if (!sale) await endBenchSale(system, saleId);
    const invariants = await auditTestbed(system);

    print(answers);
    const settleSeconds = (settling.lastSettledAt.getTime() - answers.startedAt.getTime()) / 1_000;
    const rate = Math.round(settling.settled / settleSeconds);
    console.log(`settled    ${settling.settled} ${JSON.stringify(settling.byStatus)}, the last one`);
    console.log(`           ${settleSeconds.toFixed(2)} s after the first press: ${rate}/s`);
    if (settling.lost.length > 0)
      console.log(`LOST       ${settling.lost.length}: ${settling.lost.slice(0, 5)}`);
    const seconds = Object.entries(cpu).map(([name, used]) => `${name} ${used.toFixed(1)}`);
    console.log(`CPU        ${seconds.join(', ')} s`);
    console.log(`audit      ${invariants ? 'every invariant holds' : 'BROKEN'}`);
    return invariants && settling.lost.length === 0 && sum(answers.failed) === 0;
  } finally {
    await close();
  }
}

function print(answers: LoadReport): void {
  const times = (sorted: number[]) =>
    `p50 ${percentile(sorted, 50).toFixed(1)} ms, p99 ${percentile(sorted, 99).toFixed(1)} ms`;
  const detail = (counts: Record<string, number>) => (sum(counts) > 0 ? JSON.stringify(counts) : '');
  console.log(
    `answered   ${answers.presses} in ${answers.seconds.toFixed(2)} s: ${Math.round(answers.presses / answers.seconds)}/s`,
  );
  console.log(`accepted   ${answers.accepted.length}  ${times(answers.acceptedMs)}`);
  console.log(`refused    ${sum(answers.refused)}  ${times(answers.refusedMs)}  ${detail(answers.refused)}`);
  console.log(`failed     ${sum(answers.failed)}  ${detail(answers.failed)}`);
}
