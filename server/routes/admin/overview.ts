import { z } from 'zod';
import { queueFigures } from '../../../insight/contract.ts';
import { readQueueFigures } from '../../../insight/figures.ts';
import { count, jobCounts, nextCursor, saleSnapshot } from '../../../sale/contract.ts';
import { listSnapshots } from '../../../sale/sale.ts';
import { type Route, route } from '../../http/route.ts';
import type { Shop } from '../../shop.ts';

const overview = z.looseObject({
  sales: z.array(saleSnapshot),
  salesNextCursor: nextCursor,
  queuedPurchases: count,
  jobs: jobCounts.loose(),
  figures: queueFigures,
});

export const overviewRoutes = (shop: Shop): Route[] => [
  route({
    method: 'get',
    path: '/api/admin/overview',
    access: 'viewer',
    scope: 'sales:read',
    summary: 'The shop at a glance',
    answer: [200, overview],
    async handle() {
      const [{ sales, nextCursor: salesNextCursor }, figures, jobs] = await Promise.all([
        listSnapshots(shop.collections),
        readQueueFigures(shop),
        shop.queue.countJobs(),
      ]);
      return { status: 200, body: { sales, salesNextCursor, queuedPurchases: figures.depth, jobs, figures } };
    },
  }),
];
