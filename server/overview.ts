import { listSnapshots } from '../sale/sale.ts';
import type { Answer } from './route.ts';
import type { Shop } from './shop.ts';

/** The state of the shop at a glance. */
export async function showOverview({ collections, gate, queue }: Shop): Promise<Answer> {
  const [sales, queuedPurchases, jobs] = await Promise.all([
    listSnapshots(collections),
    gate.countQueued(),
    queue.countJobs(),
  ]);
  return { status: 200, body: { sales, queuedPurchases, jobs } };
}
