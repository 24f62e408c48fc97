import { z } from 'zod';
import {
  type LiveFigures,
  liveFigures,
  type SaleCurve,
  type SaleReport,
  type SecondFigures,
  saleMinute,
  saleReport,
} from '../../../insight/contract.ts';
import { type Counts, quantileMs, readSaleCounts, readSeconds } from '../../../insight/counters.ts';
import { completeAfterSeconds, readQueueFigures } from '../../../insight/figures.ts';
import { openSaleCurves } from '../../../insight/report.ts';
import { redisClock } from '../../../runtime/clock.ts';
import { readBeats } from '../../../runtime/leader/heartbeat.ts';
import { singleFlight } from '../../../runtime/single-flight.ts';
import { nextCursor, type SaleSnapshot } from '../../../sale/contract.ts';
import { findSale, listSnapshots, readSaleSnapshot } from '../../../sale/sale.ts';
import { readMinutes } from '../../../subscribers/analytics.ts';
import { byId, pageAfter, wholeFromText } from '../../http/inputs.ts';
import { type Route, route } from '../../http/route.ts';
import type { Shop } from '../../shop.ts';
import { noSale } from '../sales.ts';

const shownSeconds = 300;

const notAnswers = new Set(['held', 'paid', 'rejected', 'failed', 'queued', 'oldestMs', 'deadLetters']);

/** `since` is the newest second that the page has, in Unix time. */
const liveSince = z.strictObject({ since: wholeFromText(0, 10_000_000_000).optional() });

/** The routes of the control room. Concurrent requests share one read of the databases. */
export function controlRoomRoutes(shop: Shop): Route[] {
  const { collections, queue, redis } = shop;
  const curveOf = openSaleCurves(collections);
  const readNow = singleFlight(async () => {
    const [beats, figures, jobs, audit, { sales, nextCursor: salesNextCursor }] = await Promise.all([
      readBeats(redis),
      readQueueFigures(shop),
      queue.countJobs(),
      shop.audits.status(),
      listSnapshots(collections),
    ]);
    const living = beats.living.map(({ watching: _, ...beat }) => beat);
    const people = audienceOf(beats.living);
    return {
      living,
      silent: beats.silent,
      figures,
      queue: { purchases: figures.depth, ...jobs },
      audit,
      sales,
      salesNextCursor,
      people,
    };
  });

  return [
    route({
      method: 'get',
      path: '/api/admin/live',
      access: 'viewer',
      scope: 'sales:read',
      summary: 'The charts and lamps of the control room',
      query: liveSince,
      // The other fields are not documented, because only the control room's page reads them.
      answer: [200, liveFigures.pick({ serverTime: true, sales: true, salesNextCursor: true }).loose()],
      async handle({ query }) {
        const to = Math.floor(redisClock.now().getTime() / 1_000) - completeAfterSeconds;
        const from = Math.max((query.since ?? 0) + 1, to - shownSeconds + 1);
        const [now, counts] = await Promise.all([readNow(''), from > to ? [] : readSeconds(redis, from, to)]);
        const seconds = counts.map((count, n) => figuresOf(from + n, count));
        const body: LiveFigures = { serverTime: redisClock.now().toISOString(), seconds, ...now };
        return { status: 200, body };
      },
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
        const [story, counted] = await Promise.all([curveOf(sale.id), readSaleCounts(redis, sale.id)]);
        const { admitted = 0 } = counted.counts;
        const body: SaleReport = {
          sale,
          ...story,
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

/** The number of sockets that watch each sale, over all instances. */
export function audienceOf(beats: { watching?: Record<string, number> }[]): Record<string, number> {
  // A Map is used, because a client may watch a sale called `constructor`, which every object has.
  const people = new Map<string, number>();
  for (const { watching = {} } of beats) {
    for (const [saleId, sockets] of Object.entries(watching)) {
      people.set(saleId, (people.get(saleId) ?? 0) + sockets);
    }
  }
  return Object.fromEntries(people);
}

function figuresOf(second: number, counts: Counts): SecondFigures {
  return {
    second,
    answers: answersOf(counts),
    held: counts.held ?? 0,
    paid: counts.paid ?? 0,
    rejected: counts.rejected ?? 0,
    p50Ms: quantileMs(counts, 0.5),
    p99Ms: quantileMs(counts, 0.99),
    queued: counts.queued ?? null,
    oldestMs: counts.oldestMs ?? null,
  };
}

function answersOf(counts: Counts): Counts {
  const answers = Object.entries(counts).filter(
    ([field]) => !notAnswers.has(field) && !field.startsWith('ms:'),
  );
  return Object.fromEntries(answers);
}

function refusedOf(counts: Counts): Counts {
  const { admitted: _, known: __, ...refused } = answersOf(counts);
  return refused;
}
