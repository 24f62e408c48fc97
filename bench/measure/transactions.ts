import { settleBatch } from '../../sale/settlement/transaction.ts';
import { endBenchSale, type OwnStage, openBenchSale } from '../systems/stage.ts';
import { backlogOf } from './drain.ts';

/** Purchases settled a second by this process with nothing around it: no queue, nobody told. */
export async function settleAlone(
  { system }: OwnStage,
  { backlog, buyers }: { backlog: number; buyers: number },
): Promise<number> {
  const { collections, config } = system;
  const sale = { name: 'Bench: transactions', stock: backlog, limitPerBuyer: Math.ceil(backlog / buyers) };
  const saleId = await openBenchSale(system, sale);
  const purchases = backlogOf(saleId, backlog, buyers);
  const startedAt = performance.now();
  for (let start = 0; start < backlog; start += config.SETTLE_MAX_PURCHASES) {
    await settleBatch(collections, purchases.slice(start, start + config.SETTLE_MAX_PURCHASES), []);
  }
  const seconds = (performance.now() - startedAt) / 1_000;
  await endBenchSale(system, saleId);
  return backlog / seconds;
}
