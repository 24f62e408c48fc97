import { createHash } from 'node:crypto';
import { z } from 'zod';
import { singleFlight } from '../../runtime/single-flight.ts';
import { type SaleSnapshot, salePage, saleSnapshot } from '../../sale/contract.ts';
import { readDraft } from '../../sale/draft.ts';
import { listForBuyers, listSnapshots, readSaleSnapshot } from '../../sale/sale.ts';
import type { Identify } from '../http/identity/identification.ts';
import { byId, cursorLike } from '../http/inputs.ts';
import { isRefusal, type Refusal, refuse } from '../http/problems.ts';
import { type Route, route } from '../http/route.ts';
import { keptByEdges, openToAnySite } from '../pages/pages.ts';
import type { Shop } from '../shop.ts';

const saleList = z
  .strictObject({
    order: z
      .literal('for-buyers')
      .optional()
      .describe(
        'What is open, the soonest end first; what is to come, the soonest opening first; what is over',
      ),
    cursor: cursorLike(/^((open|scheduled|ended)\.)?\d{1,15}\.[\w:.-]{1,200}$/),
  })
  .refine(({ order, cursor }) => !cursor || /^[a-z]/.test(cursor) === (order === 'for-buyers'), {
    path: ['cursor'],
    error: 'expected the nextCursor of a page in the same order',
  });

export function saleRoutes({ collections }: Shop, identify: Identify): Route[] {
  // Concurrent requests share one read of MongoDB.
  const read = singleFlight((saleId) => readSaleSnapshot(collections, saleId));
  const readPage = singleFlight((cursor) => listSnapshots(collections, cursor || undefined));
  const readPageForBuyers = singleFlight((cursor) => listForBuyers(collections, cursor || undefined));
  return [
    route({
      method: 'get',
      path: '/api/sales',
      access: 'anyone',
      summary: 'The sales, page by page: those that end last first, or in the order that buyers need',
      query: saleList,
      answer: [200, salePage],
      headers: ['ETag'],
      async handle({ query }) {
        const isForBuyers = query.order === 'for-buyers';
        const page = await (isForBuyers ? readPageForBuyers : readPage)(query.cursor ?? '');
        return {
          status: 200,
          body: page,
          headers: { ...validator(page.sales, page.nextCursor), ...keptByEdges },
        };
      },
    }),
    route({
      method: 'get',
      path: '/api/sales/:id',
      access: 'anyone',
      summary: 'A sale as it is now; a draft for staff only',
      params: byId,
      answer: [200, saleSnapshot],
      headers: ['ETag'],
      problems: ['not-found'],
      async handle({ params, request }) {
        const snapshot = await read(params.id);
        if (!snapshot) {
          const identity = await identify({ access: 'viewer', scope: 'sales:read' }, request);
          const draft = isRefusal(identity) ? null : await readDraft(collections, params.id);
          if (!draft) return noSale(params.id, openToAnySite);
          return { status: 200, body: draft, headers: validator([draft]) };
        }
        return {
          status: 200,
          body: snapshot,
          headers: { ...validator([snapshot]), ...keptByEdges, ...openToAnySite },
        };
      },
    }),
  ];
}

export function noSale(saleId: string, headers: Record<string, string> = {}): Refusal {
  return refuse('not-found', `There is no sale ${saleId}`, {}, headers);
}

/** Whether an If-Match, which a proxy may have marked as weak, means this snapshot; without one every snapshot matches. */
export function matches(snapshot: SaleSnapshot, ifMatch: string | undefined): boolean {
  return ifMatch === undefined || ifMatch.replace(/^W\//, '') === validator([snapshot]).ETag;
}

/** The ETag leaves out the server's time, which differs in every answer. */
function validator(snapshots: SaleSnapshot[], nextCursor: string | null = null) {
  const timeless = snapshots.map(({ serverTime, ...rest }) => rest);
  const hash = createHash('sha1')
    .update(JSON.stringify([timeless, nextCursor]))
    .digest('base64url');
  return { ETag: `"${hash}"`, 'Cache-Control': 'no-cache' };
}
