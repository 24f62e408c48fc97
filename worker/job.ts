import type { Purchase } from '../sale/contract.ts';
import { type PurchaseQueue, readJob } from '../sale/queue/queue.ts';
import type { Settle } from '../sale/settlement/settlement.ts';

/**
 * Settles one job. A purchase that cannot be settled gets a job of its own, which is retried and then becomes a dead letter,
 * so that it does not block the others.
 */
export async function settleJob(data: unknown, queue: PurchaseQueue, settle: Settle): Promise<void> {
  const { purchases, malformed, again } = readJob(data);
  const poison = [...malformed, ...(purchases.length > 0 ? await settle({ purchases, again }) : [])];
  const [first] = poison;
  if (!first) return;
  if (purchases.length + malformed.length === 1) throw first.error;
  await queue.add(poison.map(({ raw }) => ({ purchases: [raw as Purchase], ...(again && { again }) })));
}
