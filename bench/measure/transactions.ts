import { settleMaxPurchases } from '../../sale/settlement/settlement.ts';
import { settleBatch } from '../../sale/settlement/transaction.ts';
import { endBenchSale, type OwnTestbed, openBenchSale } from '../systems/testbed.ts';
import { backlogOf } from './drain.ts';

/** @returns purchases a second that this process settles by the transactions alone, without queue and broadcast. */
export async function settleWithoutQueue(
  { system }: OwnTestbed,
  { backlog, buyers }: { backlog: number; buyers: number },
): Promise<number> {
  const { collections } = system;
  const sale = { name: 'Bench: transactions', stock: backlog, limitPerBuyer: Math.ceil(backlog / buyers) };
  const saleId = await openBenchSale(system, sale);
  const purchases = backlogOf(saleId, backlog, buyers);
  const startedAt = performance.now();
  for (let start = 0; start < backlog; start += settleMaxPurchases) {
    await settleBatch(collections, purchases.slice(start, start + settleMaxPurchases), []);
  }
  const seconds = (performance.now() - startedAt) / 1_000;
  await endBenchSale(system, saleId);
  return backlog / seconds;
}
