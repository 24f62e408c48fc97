import { z } from 'zod';
import { logStaffAction } from '../../../../accounts/staff-log.ts';
import { suspectPage } from '../../../../insight/contract.ts';
import { clearSuspects, listMarked, listSuspects, markSuspects } from '../../../../insight/suspects.ts';
import { singleFlight } from '../../../../runtime/single-flight.ts';
import { count, instant } from '../../../../sale/contract.ts';
import { findSale } from '../../../../sale/sale.ts';
import { byId, cursorLike, id } from '../../../http/inputs.ts';
import { byOf, type Route, route } from '../../../http/route.ts';
import type { Shop } from '../../../shop.ts';
import { noSale } from '../../sales.ts';
import { cancellation, cancelledAtOnce, cancelMany } from './order-cancellations.ts';

const search = z.strictObject({
  minBuyers: z
    .int()
    .min(2)
    .max(1_000)
    .default(3)
    .describe('How many buyers have to share a network, which an office or a home does as well'),
});

export function suspectRoutes(shop: Shop): Route[] {
  const { collections } = shop;
  // Concurrent requests share one reading of the sale's log.
  const mark = singleFlight((key) => {
    const [saleId = '', minBuyers] = key.split(' ');
    return markSuspects(collections, saleId, Number(minBuyers));
  });
  return [
    route({
      method: 'post',
      path: '/api/admin/sales/:id/suspects',
      access: 'desk',
      scope: 'orders:write',
      summary: 'Mark the orders whose buyers signed in from the same network, for a look before shipping',
      params: byId,
      body: search,
      answer: [200, z.object({ looked: count, marked: count, isWhole: z.boolean() })],
      problems: ['not-found'],
      async handle({ params, body, ...call }) {
        if (!(await findSale(collections, params.id))) return noSale(params.id);
        const entry = { action: 'sale.suspects_marked', subject: { kind: 'sale', id: params.id } };
        await logStaffAction(collections, { ...byOf(call), ...entry, after: body });
        return { status: 200, body: await mark(`${params.id} ${body.minBuyers}`) };
      },
    }),
    route({
      method: 'get',
      path: '/api/admin/sales/:id/suspects',
      access: 'desk',
      scope: 'orders:read',
      summary: 'The marked orders of a sale',
      params: byId,
      query: z.strictObject({ cursor: cursorLike(/^[\w-]{1,64}\.[\w-]{1,64}$/) }),
      answer: [200, suspectPage],
      async handle({ params, query }) {
        const page = await listSuspects(collections, params.id, query.cursor);
        if (query.cursor) return { status: 200, body: page };
        // The orders matter more than these counts.
        const counted = await shop.networks.list(params.id).catch(() => null);
        const networks = counted?.map(({ networkKey: group, ...counts }) => ({ group, ...counts }));
        return { status: 200, body: { ...page, ...(networks && { networks }) } };
      },
    }),
    route({
      method: 'post',
      path: '/api/admin/sales/:id/suspects/clearance',
      access: 'desk',
      scope: 'orders:write',
      summary: 'Take the mark off orders that may be shipped; a later search does not mark them again',
      params: byId,
      body: z.strictObject({ orderIds: z.array(id).min(1).max(cancelledAtOnce) }),
      answer: [200, z.object({ cleared: count })],
      async handle({ params, body: { orderIds }, ...call }) {
        const cleared = await clearSuspects(collections, params.id, orderIds, byOf(call));
        return { status: 200, body: { cleared } };
      },
    }),
    route({
      method: 'post',
      path: '/api/admin/sales/:id/suspects/cancellation',
      access: 'desk',
      scope: 'orders:write',
      summary:
        'Cancel the marked orders of a sale, 500 at a time: repeat it while `left` says so and some were cancelled',
      params: byId,
      body: cancellation.extend({
        markedBefore: instant
          .exactOptional()
          .describe('Leaves orders alone that were marked later than this'),
      }),
      answer: [200, z.object({ cancelled: count, left: z.boolean() })],
      problems: ['busy'],
      async handle({ params, body: { markedBefore, ...why }, ...call }) {
        const before = markedBefore === undefined ? undefined : new Date(markedBefore);
        const orderIds = await listMarked(collections, params.id, { before, limit: cancelledAtOnce });
        const { orders } = await cancelMany(shop, orderIds, why, call);
        const done = orders.filter(({ outcome }) => outcome !== 'busy').map(({ orderId }) => orderId);
        // Also those that cannot be cancelled any more, so that a repetition goes on with others.
        if (done.length > 0) await clearSuspects(collections, params.id, done, byOf(call));
        const cancelled = orders.filter(({ outcome }) => outcome === 'cancelled').length;
        const left = (await listMarked(collections, params.id, { before, limit: 1 })).length > 0;
        return { status: 200, body: { cancelled, left } };
      },
    }),
  ];
}
