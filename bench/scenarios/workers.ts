import { waitUntil } from '../../ops/local/processes/process.mjs';
import { backlogOf } from '../measure/drain.ts';
import { saveResult } from '../report/results.ts';
import { figure } from '../report/table.ts';
import { type Side, stampedeOn } from '../systems/sides.ts';
import { auditStage, endBenchSale, openBenchSale, openOwnStage } from '../systems/stage.ts';

export interface WorkersOptions {
  backlog: number;
  buyers: number;
  /** As PURCHASE_QUEUE has it. */
  engine: string;
}

const counts = [1, 2, 4];
const deadlineSeconds = 300;

/** The same backlog for 1, 2 and 4 workers, all of one hot sale. @returns whether the invariants hold. */
export async function workers({ backlog, buyers, engine }: WorkersOptions): Promise<boolean> {
  const drains = [];
  let ok = true;
  for (const count of counts) {
    const side = stampedeOn(
      await openOwnStage({ servers: 1, workers: 0, nginx: false, env: { PURCHASE_QUEUE: engine } }),
    );
    try {
      const drainedPerSecond = await drainWith(side, count, { backlog, buyers });
      const holds = await auditStage(side.stage.system);
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
 * Lets so many new workers work off a backlog that is there before them. @returns purchases settled in a second, from
 * the first to the last.
 * @throws Error when a purchase has no paid order in the end.
 */
export async function drainWith(
  side: Side,
  count: number,
  { backlog, buyers }: Pick<WorkersOptions, 'backlog' | 'buyers'>,
): Promise<number> {
  const { stage } = side;
  const limitPerBuyer = Math.ceil(backlog / buyers);
  const saleId = await openBenchSale(stage.system, { name: 'Bench: workers', stock: backlog, limitPerBuyer });
  // An engine of its own admits nothing before it is connected.
  await stage.system.queue.countJobs();
  await side.queue?.enqueue(backlogOf(saleId, backlog, buyers));
  const starting = Array.from({ length: count }, () => stage.scratch.startWorker());

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
  const paid = await stage.system.collections.orders.countDocuments({ saleId, status: 'paid' });
  if (paid !== backlog) throw new Error(`${backlog} purchases were drained, and ${paid} have an order`);
  await endBenchSale(stage.system, saleId);
  return backlog / seconds;
}
