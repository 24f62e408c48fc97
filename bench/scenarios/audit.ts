import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import type { AuditReport } from '../../insight/audit/audit.ts';
import { retry } from '../../runtime/retry.ts';
import { settleMaxPurchases } from '../../sale/settlement/settlement.ts';
import { settleBatch } from '../../sale/settlement/transaction.ts';
import { backlogOf } from '../measure/drain.ts';
import { saveResult } from '../report/results.ts';
import { figure, printTable } from '../report/table.ts';
import { endBenchSale, type OwnTestbed, openBenchSale, openOwnTestbed } from '../systems/testbed.ts';

export interface AuditOptions {
  /** Of each sale. */
  orders: number;
  buyers: number;
  /** With 1, sales of a hundredth and a tenth of the orders are made first; with more, every sale has the same number of orders. */
  sales: number;
}

interface Run {
  seconds: number;
  /** The largest resident memory of the audit's process. */
  memoryMb: number;
  ok: boolean;
  salesRead: number;
}

/** So many sales are sold in a stage, before it is audited. */
interface Stage {
  sales: number;
  /** Of each of them. */
  orders: number;
}

interface Measured extends Stage {
  /** Of all sales so far. */
  ordersInAll: number;
  sellingSeconds: number;
  /**
   * While the last sale is open and no other has been audited since its end, once more soon after, after its end, once more when
   * nothing has changed since, and of all sales whatever has changed.
   */
  open: Run;
  again: Run;
  closed: Run;
  unchanged: Run;
  whole: Run;
}

const runNames = ['open', 'again', 'closed', 'unchanged', 'whole'] as const;

/** Time and memory of `npm run audit` as a shop grows. @returns whether every invariant holds in each run. */
export async function audit({ orders, buyers, sales }: AuditOptions): Promise<boolean> {
  const testbed = await openOwnTestbed({ servers: 1, workers: 0, nginx: false });
  try {
    const measured: Measured[] = [];
    let ordersInAll = 0;
    for (const stage of stagesOf(orders, sales)) {
      const startedAt = performance.now();
      const saleIds = await sell(testbed, stage, buyers);
      const sellingSeconds = (performance.now() - startedAt) / 1_000;
      ordersInAll += stage.sales * stage.orders;
      const last = saleIds.pop() ?? '';
      for (const saleId of saleIds) await endBenchSale(testbed.system, saleId);
      console.log(
        `${stage.sales} x ${stage.orders.toLocaleString('en')} orders: sold in ${figure(sellingSeconds)} s`,
      );
      const run = async (name: (typeof runNames)[number], options: string[] = []) => {
        const result = await runAudit(testbed, options);
        console.log(`  ${name}: ${figure(result.seconds)} s, ${figure(result.memoryMb)} MB`);
        return result;
      };
      const [open, again] = [await run('open'), await run('again')];
      await endBenchSale(testbed.system, last);
      const [closed, unchanged] = [await run('closed'), await run('unchanged')];
      const whole = await run('whole', ['--whole']);
      measured.push({ ...stage, ordersInAll, sellingSeconds, open, again, closed, unchanged, whole });
    }
    printTable(
      ['sales x orders', 'in all', 'sold, s', ...runNames.flatMap((name) => [`${name}, s`, 'MB'])],
      measured.map((row) => {
        const runs = runNames.flatMap((name) => [figure(row[name].seconds), figure(row[name].memoryMb)]);
        const what = `${row.sales} x ${row.orders.toLocaleString('en')}`;
        return [what, row.ordersInAll.toLocaleString('en'), figure(row.sellingSeconds), ...runs];
      }),
    );
    console.log(`\nWritten to ${saveResult('audit', { options: { orders, buyers, sales }, measured })}`);
    return measured.every((row) => runNames.every((name) => row[name].ok));
  } finally {
    await testbed.close();
  }
}

function stagesOf(orders: number, sales: number): Stage[] {
  if (sales === 1)
    return [orders / 100, orders / 10, orders].map((size) => ({ sales: 1, orders: Math.ceil(size) }));
  const sums = new Set([sales / 100, sales / 10, sales].map(Math.ceil));
  return [...sums].map((sum, n, all) => ({ sales: sum - (all[n - 1] ?? 0), orders }));
}

/** More at once would not be faster: MongoDB has the other core. */
const salesAtOnce = 4;

/** Sales with so many paid orders each, made by the transactions that settle them, of several sales at once. */
async function sell(testbed: OwnTestbed, { sales, orders }: Stage, buyers: number): Promise<string[]> {
  const saleIds: string[] = [];
  let begun = 0;
  async function sellOneByOne(): Promise<void> {
    while (begun < sales) {
      begun += 1;
      saleIds.push(await sellOne(testbed, orders, buyers));
    }
  }
  await Promise.all(Array.from({ length: Math.min(salesAtOnce, sales) }, sellOneByOne));
  return saleIds;
}

async function sellOne({ system }: OwnTestbed, orders: number, buyers: number): Promise<string> {
  const limitPerBuyer = Math.ceil(orders / buyers);
  const saleId = await openBenchSale(system, { name: 'Bench: audit', stock: orders, limitPerBuyer });
  for (let first = 0; first < orders; first += purchasesAtOnce) {
    const purchases = backlogOf(saleId, Math.min(purchasesAtOnce, orders - first), buyers);
    for (let start = 0; start < purchases.length; start += settleMaxPurchases) {
      const batch = purchases.slice(start, start + settleMaxPurchases);
      // It is retried as a worker retries it, because on a busy machine a transaction can exceed MongoDB's time limit.
      await retry(() => settleBatch(system.collections, batch, []), {
        firstMs: 500,
        longestMs: 500,
        maxAttempts: 5,
      });
    }
  }
  return saleId;
}

const purchasesAtOnce = 100_000;

async function runAudit({ scratch }: OwnTestbed, options: string[] = []): Promise<Run> {
  const startedAt = performance.now();
  const child = spawn(
    process.execPath,
    ['--max-old-space-size=448', 'run.mjs', 'commands/audit.ts', '--without-provider', ...options],
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
