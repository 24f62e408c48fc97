import { redisClock } from '../runtime/clock.ts';
import { type Beat, readBeats } from '../runtime/leader/heartbeat.ts';
import type { Availability } from '../runtime/observe/availability.ts';
import { singleFlight } from '../runtime/single-flight.ts';
import { withTimeout } from '../runtime/with-timeout.ts';
import { listForBuyers } from '../sale/sale.ts';
import type { AuditStatus, LiveFigures, SecondFigures } from './contract.ts';
import { type Counts, quantileMs, readSeconds } from './counters.ts';
import { answersOf, completeAfterSeconds, type FigureSources, faultsOf, readQueueState } from './figures.ts';
import { readMoneyFigures } from './money.ts';

export interface LiveSources extends FigureSources {
  availability: Availability;
  auditStatus: () => Promise<AuditStatus>;
}

const shownSeconds = 300;

/** How long an answer waits for one part of the figures; then it has the last ones read, and when that was. */
const partPatienceMs = 700;

const noAudit: AuditStatus = { state: 'never', at: null, breaches: 0, examples: [], orders: 0 };

/**
 * Reads the figures of the control room in bounded time, whatever is unavailable. Concurrent requests share one read of
 * each part.
 * @returns a function that takes the newest second that the page has, in Unix time.
 */
export function openLiveFigures(sources: LiveSources): (since: number) => Promise<LiveFigures> {
  const { collections, redis, queue, availability } = sources;

  function part<Value>(database: 'redis' | 'mongodb', read: () => Promise<Value>) {
    let last: { value: Value; readAt: string } | null = null;
    const load = singleFlight(async () => {
      const readAt = redisClock.now().toISOString();
      last = { value: await read(), readAt };
    });
    return async () => {
      if (!availability.isAway(database)) await withTimeout(load(''), partPatienceMs).catch(() => {});
      return last;
    };
  }
  const readProcesses = part('redis', () => readBeats(redis));
  const readQueue = part('redis', () => readQueueState(sources));
  const readJobs = part('redis', () => queue.countJobs());
  const readAudit = part('redis', sources.auditStatus);
  const readLag = part('mongodb', async () => {
    const counts: Record<string, number> = {};
    for (const [name, events] of Object.entries(await sources.countLag())) {
      // Without one of them nobody knows who is furthest behind.
      if (events === null) throw new Error(`The queue of ${name} does not answer`);
      counts[name] = events;
    }
    return counts;
  });
  const readMoney = part('mongodb', () => readMoneyFigures(collections));
  const readSales = part('mongodb', () => listForBuyers(collections));

  async function readNewSeconds(since: number): Promise<SecondFigures[] | null> {
    const to = Math.floor(redisClock.now().getTime() / 1_000) - completeAfterSeconds;
    const from = Math.max(since + 1, to - shownSeconds + 1);
    if (from > to) return [];
    if (availability.isAway('redis')) return null;
    const counts = await withTimeout(readSeconds(redis, from, to), partPatienceMs).catch(() => null);
    return counts?.map((count, n) => figuresOf(from + n, count)) ?? null;
  }

  return async (since) => {
    const [processes, state, jobs, audit, lag, money, sales, seconds] = await Promise.all([
      readProcesses(),
      readQueue(),
      readJobs(),
      readAudit(),
      readLag(),
      readMoney(),
      readSales(),
      readNewSeconds(since),
    ]);
    const { living, silent } = processes?.value ?? { living: [], silent: [] };
    const queueReadAt = [state, jobs].map((one) => one?.readAt ?? '').sort()[0];
    return {
      serverTime: redisClock.now().toISOString(),
      away: availability.away().map(({ what, since }) => ({ what, since: since.toISOString() })),
      readAt: {
        processes: processes?.readAt ?? null,
        queue: queueReadAt || null,
        lag: lag?.readAt ?? null,
        money: money?.readAt ?? null,
        audit: audit?.readAt ?? null,
        sales: sales?.readAt ?? null,
      },
      seconds: seconds ?? [],
      living: living.map(({ watching: _, ...beat }) => beat),
      silent,
      figures: state && { ...state.value, lag: lag?.value ?? {} },
      queue: state && jobs && { purchases: state.value.depth, ...jobs.value },
      money: money?.value ?? null,
      audit: audit?.value ?? noAudit,
      sales: sales?.value.sales ?? [],
      salesNextCursor: sales?.value.nextCursor ?? null,
      people: audienceOf(living),
    };
  };
}

/** The number of sockets that watch each sale, over all instances. */
export function audienceOf(beats: Pick<Beat, 'watching'>[]): Record<string, number> {
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
    faults: faultsOf(counts),
    held: counts.held ?? 0,
    paid: (counts.paid ?? 0) + (counts.paid_later ?? 0),
    rejected: counts.rejected ?? 0,
    expired: counts.expired ?? 0,
    refunded: counts.refunded ?? 0,
    cancelled: counts.cancelled ?? 0,
    p50Ms: quantileMs(counts, 0.5),
    p99Ms: quantileMs(counts, 0.99),
    queued: counts.queued ?? null,
    oldestMs: counts.oldestMs ?? null,
  };
}
