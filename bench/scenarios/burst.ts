import { pressWithAutocannon } from '../load/cannon.ts';
import { type CrowdReport, mintTokens } from '../load/closed-loop.ts';
import { watchCpu } from '../measure/usage.ts';
import { percentile, sum } from '../report/statistics.ts';
import {
  auditStage,
  endBenchSale,
  lookUpOrders,
  openBenchSale,
  openStage,
  waitForQuiet,
} from '../systems/stage.ts';

export interface BurstOptions {
  buyers: number;
  presses: number;
  stock: number;
  connections: number;
  /** An open sale to press Buy on instead of one made for the run. */
  sale: string | undefined;
}

const deadlineSeconds = 120;

/** A crowd presses Buy on far too little stock, through the front door. @returns whether every invariant holds. */
export async function burst({ buyers, presses, stock, connections, sale }: BurstOptions): Promise<boolean> {
  const { system, url, secret, processes, close } = await openStage({ clients: connections });
  try {
    const tokens = mintTokens(buyers, secret);
    const saleId = sale ?? (await openBenchSale(system, { name: 'Bench: burst', stock, limitPerBuyer: 2 }));
    console.log(
      `${presses} presses by ${buyers} buyers over ${connections} connections: ${url}/sales/${saleId}`,
    );

    const cpuUsed = watchCpu(processes);
    const crowd = await pressWithAutocannon({ url, tokens, saleId, presses, connections, deadlineSeconds });
    await waitForQuiet(system, deadlineSeconds);
    const cpu = cpuUsed();
    const settling = await lookUpOrders(system, crowd.accepted);
    if (!sale) await endBenchSale(system, saleId);
    const invariants = await auditStage(system);

    print(crowd);
    const settleSeconds = (settling.lastSettledAt.getTime() - crowd.startedAt.getTime()) / 1_000;
    const rate = Math.round(settling.settled / settleSeconds);
    console.log(`settled    ${settling.settled} ${JSON.stringify(settling.byStatus)}, the last one`);
    console.log(`           ${settleSeconds.toFixed(2)} s after the first press: ${rate}/s`);
    if (settling.lost.length > 0)
      console.log(`LOST       ${settling.lost.length}: ${settling.lost.slice(0, 5)}`);
    const seconds = Object.entries(cpu).map(([name, used]) => `${name} ${used.toFixed(1)}`);
    console.log(`CPU        ${seconds.join(', ')} s`);
    console.log(`audit      ${invariants ? 'every invariant holds' : 'BROKEN'}`);
    return invariants && settling.lost.length === 0 && sum(crowd.failed) === 0;
  } finally {
    await close();
  }
}

function print(crowd: CrowdReport): void {
  const times = (sorted: number[]) =>
    `p50 ${percentile(sorted, 50).toFixed(1)} ms, p99 ${percentile(sorted, 99).toFixed(1)} ms`;
  const detail = (counts: Record<string, number>) => (sum(counts) > 0 ? JSON.stringify(counts) : '');
  console.log(
    `answered   ${crowd.presses} in ${crowd.seconds.toFixed(2)} s: ${Math.round(crowd.presses / crowd.seconds)}/s`,
  );
  console.log(`accepted   ${crowd.accepted.length}  ${times(crowd.acceptedMs)}`);
  console.log(`refused    ${sum(crowd.refused)}  ${times(crowd.refusedMs)}  ${detail(crowd.refused)}`);
  console.log(`failed     ${sum(crowd.failed)}  ${detail(crowd.failed)}`);
}
