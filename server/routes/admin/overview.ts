import { readQueueFigures } from '../../../insight/figures.ts';
import { listSnapshots } from '../../../sale/sale.ts';
import type { Answer } from '../../http/route.ts';
import type { Shop } from '../../shop.ts';

/** The state of the shop at a glance. */
export async function showOverview(shop: Shop): Promise<Answer> {
  const [{ sales, nextCursor: salesNextCursor }, figures, jobs] = await Promise.all([
    listSnapshots(shop.collections),
    readQueueFigures(shop),
    shop.queue.countJobs(),
  ]);
  return { status: 200, body: { sales, salesNextCursor, queuedPurchases: figures.depth, jobs, figures } };
}
