import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import type { AuditReport } from '../../insight/audit/audit.ts';
import { settleMaxPurchases } from '../../sale/settlement/settlement.ts';
import { settleBatch } from '../../sale/settlement/transaction.ts';
import { backlogOf } from '../measure/drain.ts';
import { saveResult } from '../report/results.ts';
import { figure, printTable } from '../report/table.ts';
import { endBenchSale, type OwnTestbed, openBenchSale, openOwnTestbed } from '../systems/testbed.ts';

export interface AuditOptions {
  /** Of the largest sale; the others have a tenth and a hundredth of them. */
  orders: number;
  buyers: number;
}

interface Run {
  seconds: number;
  /** The largest resident memory of the audit's process. */
  memoryMb: number;
  ok: boolean;
  salesRead: number;
}

interface Measured {
  orders: number;
  /** While the sale is open, once more soon after, after its end, and once more when nothing has changed since. */
  open: Run;
  again: Run;
  closed: Run;
  unchanged: Run;
}

/** Time and memory of `npm run audit` as a sale grows. @returns whether every invariant holds in each run. */
export async function audit({ orders, buyers }: AuditOptions): Promise<boolean> {
  const testbed = await openOwnTestbed({ servers: 1, workers: 0, nginx: false });
  try {
    const measured: Measured[] = [];
    for (const size of [orders / 100, orders / 10, orders].map(Math.ceil)) {
      const saleId = await sell(testbed, size, buyers);
      const open = await runAudit(testbed);
      const again = await runAudit(testbed);
      await endBenchSale(testbed.system, saleId);
      const closed = await runAudit(testbed);
      measured.push({ orders: size, open, again, closed, unchanged: await runAudit(testbed) });
      console.log(`${size} orders: ${figure(open.seconds)} s, ${figure(open.memoryMb)} MB`);
    }
    const cells = ({ seconds, memoryMb }: Run) => [figure(seconds), figure(memoryMb)];
    printTable(
      ['orders', 'open, s', 'MB', 'soon again, s', 'MB', 'closed, s', 'MB', 'unchanged, s', 'MB'],
      measured.map(({ orders: size, open, again, closed, unchanged }) => {
        return [size.toLocaleString('en'), ...[open, again, closed, unchanged].flatMap(cells)];
      }),
    );
    console.log(`\nWritten to ${saveResult('audit', { options: { orders, buyers }, measured })}`);
    return measured.every(({ open, again, closed, unchanged }) =>
      [open, again, closed, unchanged].every(({ ok }) => ok),
    );
  } finally {
    await testbed.close();
  }
}

/** A sale with so many paid orders, made by the transactions that settle them. The sales before it are closed. */
async function sell({ system }: OwnTestbed, orders: number, buyers: number): Promise<string> {
  const limitPerBuyer = Math.ceil(orders / buyers);
  const saleId = await openBenchSale(system, { name: 'Bench: audit', stock: orders, limitPerBuyer });
  for (let first = 0; first < orders; first += atOnce) {
    const purchases = backlogOf(saleId, Math.min(atOnce, orders - first), buyers);
    for (let start = 0; start < purchases.length; start += settleMaxPurchases)
      await settleBatch(system.collections, purchases.slice(start, start + settleMaxPurchases), []);
  }
  return saleId;
}

const atOnce = 100_000;

async function runAudit({ scratch }: OwnTestbed): Promise<Run> {
  const startedAt = performance.now();
  const child = spawn(
    process.execPath,
    ['--max-old-space-size=448', 'run.mjs', 'commands/audit.ts', '--without-provider'],
    {
      env: { ...process.env, ...scratch.env },
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  let memoryMb = 0;
  const watching = setInterval(() => {
    memoryMb = Math.max(memoryMb, peakMemoryMb(child.pid ?? 0));
  }, 50);
  const [output] = await Promise.all([text(child.stdout), once(child, 'close')]);
  clearInterval(watching);
  const { ok, salesRead } = JSON.parse(output) as AuditReport;
  return { seconds: (performance.now() - startedAt) / 1_000, memoryMb, ok, salesRead };
}

/** Linux' high-water mark; 0 when the process has ended. */
function peakMemoryMb(pid: number): number {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    return Math.round(Number(/^VmHWM:\s+(\d+)/m.exec(status)?.[1] ?? 0) / 1_024);
  } catch {
    return 0;
  }
}
