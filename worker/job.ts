import type { Purchase } from '../sale/contract.ts';
import { type PurchaseQueue, readJob } from '../sale/queue/queue.ts';
import type { Settle } from '../sale/settlement/settlement.ts';

/**
 * Settles one job. What cannot be settled does not hold up its neighbours: it gets a job of its own, which is tried
 * as often as any, and then is a dead letter.
 */
export async function settleJob(data: unknown, queue: PurchaseQueue, settle: Settle): Promise<void> {
  const { purchases, malformed, again } = readJob(data);
  const poison = [...malformed, ...(purchases.length > 0 ? await settle({ purchases, again }) : [])];
  const [first] = poison;
  if (!first) return;
  if (purchases.length + malformed.length === 1) throw first.error;
  await queue.add(poison.map(({ raw }) => ({ purchases: [raw as Purchase], ...(again && { again }) })));
}
