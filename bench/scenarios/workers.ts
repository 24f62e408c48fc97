import { waitUntil } from '../../ops/local/processes/process.mjs';
import { backlogOf } from '../measure/drain.ts';
import { saveResult } from '../report/results.ts';
import { figure } from '../report/table.ts';
import { type Side, stampedeOn } from '../systems/sides.ts';
import { auditTestbed, endBenchSale, openBenchSale, openOwnTestbed } from '../systems/testbed.ts';

export interface WorkersOptions {
  backlog: number;
  buyers: number;
  /** A value of PURCHASE_QUEUE. */
  engine: string;
}

const counts = [1, 2, 4];
const deadlineSeconds = 300;

/** Drains the same backlog of one hot sale with 1, 2 and 4 workers. @returns whether the invariants hold. */
export async function workers({ backlog, buyers, engine }: WorkersOptions): Promise<boolean> {
  const drains = [];
  let ok = true;
  for (const count of counts) {
    const side = stampedeOn(
      await openOwnTestbed({ servers: 1, workers: 0, nginx: false, env: { PURCHASE_QUEUE: engine } }),
    );
    try {
      const drainedPerSecond = await drainWith(side, count, { backlog, buyers });
      const holds = await auditTestbed(side.testbed.system);
      console.log(
        `${engine}, ${count} workers: ${backlog} drained at ${figure(drainedPerSecond)}/s, ` +
          `invariants ${holds ? 'hold' : 'are BROKEN'}`,
      );
      drains.push({ workers: count, drainedPerSecond });
      ok &&= holds;
    } finally {
      await side.close();
    }
  }
  console.log(
    `\nWritten to ${saveResult(`workers-${engine}`, { options: { backlog, buyers, engine }, drains })}`,
  );
  return ok;
}

/**
 * Starts so many workers, which drain a backlog that exists before them.
 * @returns purchases settled a second, from the first to the last.
 * @throws Error when a purchase has no paid order at the end.
 */
export async function drainWith(
  side: Side,
  count: number,
  { backlog, buyers }: Pick<WorkersOptions, 'backlog' | 'buyers'>,
): Promise<number> {
  const { testbed } = side;
  const limitPerBuyer = Math.ceil(backlog / buyers);
  const saleId = await openBenchSale(testbed.system, {
    name: 'Bench: workers',
    stock: backlog,
    limitPerBuyer,
  });
  // RabbitMQ refuses purchases until its connection is open, so this waits for it.
  await testbed.system.queue.countJobs();
  await side.queue?.enqueue(backlogOf(saleId, backlog, buyers));
  const starting = Array.from({ length: count }, () => testbed.scratch.startWorker());

  let [firstAt, lastAt] = [Number.NaN, Number.NaN];
  const drained = waitUntil(
    async () => {
      const pending = await side.countPending();
      if (pending < backlog && Number.isNaN(firstAt)) firstAt = performance.now();
      lastAt = performance.now();
      return pending === 0;
    },
    { deadlineMs: deadlineSeconds * 1_000, what: 'the backlog is not drained', everyMs: 10 },
  );
  await Promise.all([...starting, drained]);
  const seconds = (lastAt - firstAt) / 1_000;
  const paid = await testbed.system.collections.orders.countDocuments({ saleId, status: 'paid' });
  if (paid !== backlog) throw new Error(`${backlog} purchases were drained, but only ${paid} have an order`);
  await endBenchSale(testbed.system, saleId);
  return backlog / seconds;
}
