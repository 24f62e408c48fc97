import { readFileSync } from 'node:fs';
import { z } from 'zod';
import {
  liveFigures,
  type SaleCurve,
  type SaleReport,
  saleMinute,
  saleReport,
} from '../../../insight/contract.ts';
import { type Counts, quantileMs, readSaleCounts } from '../../../insight/counters.ts';
import { answersOf } from '../../../insight/figures.ts';
import { openLiveFigures } from '../../../insight/live-figures.ts';
import { openMoneyTaken } from '../../../insight/money.ts';
import { openSaleCurves } from '../../../insight/report.ts';
import { nextCursor, type SaleSnapshot } from '../../../sale/contract.ts';
import { findSale, readSaleSnapshot } from '../../../sale/sale.ts';
import { readMinutes } from '../../../subscribers/analytics.ts';
import { byId, pageAfter, wholeFromText } from '../../http/inputs.ts';
import { type Route, route } from '../../http/route.ts';
import type { Shop } from '../../shop.ts';
import { noSale } from '../sales.ts';

/** `since` is the newest second that the page has, in Unix time. */
const liveSince = z.strictObject({ since: wholeFromText(0, 10_000_000_000).optional() });

const runbookFile = new URL('../../../ops/RUNBOOK.md', import.meta.url);

/** The paragraphs of the runbook, without the line breaks in them. */
function readRunbook() {
  const [, ...parts] = readFileSync(runbookFile, 'utf8').split(/^## /m);
  return parts.map((part) => {
    const [name = '', ...lines] = part.trim().split('\n');
    return { name, text: lines.join(' ').trim() };
  });
}

/** The routes of the control room. */
export function controlRoomRoutes(shop: Shop): Route[] {
  const { collections, redis } = shop;
  const curveOf = openSaleCurves(collections);
  const moneyTaken = openMoneyTaken(collections);
  const paragraphs = readRunbook();
  const readLive = openLiveFigures({ ...shop, auditStatus: () => shop.audits.status() });

  return [
    route({
      method: 'get',
      path: '/api/admin/live',
      access: 'viewer',
      scope: 'sales:read',
      summary: 'The charts and lamps of the control room; answers while the databases are away',
      isForOutages: true,
      query: liveSince,
      // The other fields are not documented, because only the control room's page reads them.
      answer: [
        200,
        liveFigures.pick({ serverTime: true, away: true, sales: true, salesNextCursor: true }).loose(),
      ],
      handle: async ({ query }) => ({ status: 200, body: await readLive(query.since ?? 0) }),
    }),
    route({
      method: 'get',
      path: '/api/admin/runbook',
      access: 'viewer',
      summary: 'What each alert means, and what to do',
      isForOutages: true,
      answer: [200, z.object({ paragraphs: z.array(z.object({ name: z.string(), text: z.string() })) })],
      handle: () => ({ status: 200, body: { paragraphs } }),
    }),
    route({
      method: 'get',
      path: '/api/admin/sales/:id/report',
      access: 'viewer',
      scope: 'sales:read',
      summary: 'The story of a sale',
      params: byId,
      answer: [200, saleReport.pick({ sale: true }).loose()],
      problems: ['not-found'],
      async handle({ params }) {
        const sale = await readSaleSnapshot(collections, params.id);
        if (!sale) return noSale(params.id);
        const [story, counted, money] = await Promise.all([
          curveOf(sale.id),
          readSaleCounts(redis, sale.id),
          moneyTaken(sale.id),
        ]);
        const { admitted = 0 } = counted.counts;
        const body: SaleReport = {
          sale,
          ...story,
          taken: money ?? story.amount,
          admitted,
          refused: refusedOf(counted.counts),
          soldOutAfterMs: story.soldOutAt ? Date.parse(story.soldOutAt) - begunAtMs(sale, story) : null,
          p50Ms: quantileMs(counted.counts, 0.5),
          p99Ms: quantileMs(counted.counts, 0.99),
          fastestMs: counted.fastestMs,
          slowestMs: counted.slowestMs,
        };
        return { status: 200, body };
      },
    }),
    route({
      method: 'get',
      path: '/api/admin/sales/:id/minutes',
      access: 'viewer',
      scope: 'sales:read',
      summary: 'What happened to its orders, minute by minute: pages of 1,440, the newest page first',
      params: byId,
      query: pageAfter,
      answer: [200, z.object({ minutes: z.array(saleMinute), nextCursor })],
      problems: ['not-found'],
      async handle({ params, query }) {
        const sale = await findSale(collections, params.id);
        if (!sale) return noSale(params.id);
        return { status: 200, body: await readMinutes(collections, params.id, query.cursor) };
      },
    }),
  ];
}

/** When a sale began: at its opening, or at its creation if it was created open. */
function begunAtMs({ opensAt }: SaleSnapshot, { points: [created] }: SaleCurve): number {
  return Math.max(Date.parse(opensAt), created?.[0] ?? 0);
}

function refusedOf(counts: Counts): Counts {
  const { admitted: _, known: __, ...refused } = answersOf(counts);
  return refused;
}
