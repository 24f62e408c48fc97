import type { Redis } from 'ioredis';
import { redisClock } from '../runtime/clock.ts';
import type { AdmissionResult } from '../sale/admission/admission.ts';
import type { OrderRecord } from '../store/collections.ts';
import type { Backlog } from './figures.ts';

/**
 * What happened in each second, counted over all instances, for the people who watch the shop. Every process counts in
 * its own memory and adds to Redis once a second, so that a purchase costs nothing here; a process that is killed takes
 * the counts of its last second with it. Figures for the eye: the truth is MongoDB.
 */
const secondKey = (second: number) => `tally:${second}`;
const saleKey = (saleId: string) => `tally:sale:${saleId}`;
const edgeKey = (saleId: string) => `tally:edge:${saleId}`;

const secondKeptSeconds = 900;
const saleKeptSeconds = 90 * 86_400;
const flushEveryMs = 1_000;

/** Times are counted in steps of a tenth: `ms:<step>` holds those up to 1.1 ** step milliseconds. */
const stepOf = (ms: number) => Math.ceil(Math.log(Math.max(1, ms)) / Math.log(1.1));
const msOfStep = (step: number) => Math.round(1.1 ** step);

export type Counts = Record<string, number>;

/** Every outcome of a press of Buy; failed: Redis or MongoDB could not say. */
const noAdmissions = {
  admitted: 0,
  known: 0,
  sold_out: 0,
  not_open: 0,
  over_limit: 0,
  paused: 0,
  ended: 0,
  unknown_sale: 0,
  busy: 0,
  unconfirmed: 0,
  failed: 0,
} satisfies Record<AdmissionResult, number>;

export interface Counters {
  /** What this process counted since it started. Its Prometheus metrics read it, so that there is one count. */
  totals: {
    admissions: Readonly<Record<AdmissionResult, number>>;
    orders: Readonly<Record<'paid' | 'rejected' | 'failed', number>>;
  };
  /** A press of Buy was answered, or could not be. */
  admission(saleId: string, result: AdmissionResult): void;
  /** A batch made these orders. */
  settled(createdOrders: OrderRecord[]): void;
  /** So many purchases ended because they could not be settled. */
  failed(purchases: number): void;
  close(): Promise<void>;
}

export function openCounters(redis: Redis): Counters {
  const totals = { admissions: { ...noAdmissions }, orders: { paid: 0, rejected: 0, failed: 0 } };
  let counts = new Map<string, Map<string, number>>();
  let edges = new Map<string, { fastest: number; slowest: number }>();

  function add(key: string, field: string, by = 1): void {
    const fields = counts.get(key) ?? new Map<string, number>();
    fields.set(field, (fields.get(field) ?? 0) + by);
    counts.set(key, fields);
  }
  function count(saleId: string, field: string): void {
    add(secondKey(Math.floor(redisClock.now().getTime() / 1_000)), field);
    add(saleKey(saleId), field);
  }
  function countTime(saleId: string, ms: number): void {
    count(saleId, `ms:${stepOf(ms)}`);
    const { fastest, slowest } = edges.get(saleId) ?? { fastest: ms, slowest: ms };
    edges.set(saleId, { fastest: Math.min(fastest, ms), slowest: Math.max(slowest, ms) });
  }

  async function flush(): Promise<void> {
    if (counts.size === 0) return;
    const pipeline = redis.pipeline();
    for (const [key, fields] of counts) {
      for (const [field, by] of fields) pipeline.hincrby(key, field, by);
      pipeline.expire(key, key.startsWith(saleKey('')) ? saleKeptSeconds : secondKeptSeconds);
    }
    for (const [saleId, { fastest, slowest }] of edges) {
      pipeline.zadd(edgeKey(saleId), 'LT', fastest, 'fastest');
      pipeline.zadd(edgeKey(saleId), 'GT', slowest, 'slowest');
      pipeline.expire(edgeKey(saleId), saleKeptSeconds);
    }
    counts = new Map();
    edges = new Map();
    // Without Redis a second is missing in a chart.
    await pipeline.exec().catch(() => {});
  }
  const timer = setInterval(() => void flush(), flushEveryMs);

  return {
    totals,
    admission(saleId, result) {
      totals.admissions[result] += 1;
      // Anybody can make up the id of a sale, and `failed` is a second's count of purchases that were given up.
      if (result !== 'unknown_sale' && result !== 'failed') count(saleId, result);
    },
    settled(createdOrders) {
      for (const { saleId, status, createdAt, settledAt } of createdOrders) {
        totals.orders[status === 'paid' ? 'paid' : 'rejected'] += 1;
        count(saleId, status);
        const ms = settledAt.getTime() - createdAt.getTime();
        if (ms >= 0) countTime(saleId, ms);
      }
    },
    failed(purchases) {
      totals.orders.failed += purchases;
      if (purchases > 0) add(secondKey(Math.floor(redisClock.now().getTime() / 1_000)), 'failed', purchases);
    },
    async close() {
      clearInterval(timer);
      await flush();
    },
  };
}

/** The counts of each second of a span, or of every nth, in order. */
export async function readSeconds(redis: Redis, from: number, to: number, step = 1): Promise<Counts[]> {
  const pipeline = redis.pipeline();
  for (let second = from; second <= to; second += step) pipeline.hgetall(secondKey(second));
  const replies = (await pipeline.exec()) ?? [];
  return replies.map(([, fields]) => numbersOf(fields as Record<string, string> | null));
}

/** What was counted of one sale from its beginning, and its fastest and slowest settling (ms). */
export async function readSaleCounts(
  redis: Redis,
  saleId: string,
): Promise<{ counts: Counts; fastestMs: number | null; slowestMs: number | null }> {
  const [fields, edges] = await Promise.all([
    redis.hgetall(saleKey(saleId)),
    redis.zmscore(edgeKey(saleId), 'fastest', 'slowest'),
  ]);
  const [fastestMs, slowestMs] = edges.map((ms) => (ms === null ? null : Number(ms)));
  return { counts: numbersOf(fields), fastestMs: fastestMs ?? null, slowestMs: slowestMs ?? null };
}

/** Notes the queue's state in this second. Every instance does; they note the same. */
export async function noteBacklog(redis: Redis, { depth, oldestMs, deadLetters }: Backlog): Promise<void> {
  const key = secondKey(Math.floor(redisClock.now().getTime() / 1_000));
  await redis
    .pipeline()
    .hset(key, { queued: depth, oldestMs, deadLetters })
    .expire(key, secondKeptSeconds)
    .exec();
}

/** The counts of several seconds together; what was noted rather than counted means nothing in it. */
export function sumOf(seconds: Counts[]): Counts {
  const sum = new Map<string, number>();
  for (const counts of seconds) {
    for (const [field, count] of Object.entries(counts)) sum.set(field, (sum.get(field) ?? 0) + count);
  }
  return Object.fromEntries(sum);
}

/** The time within which this share of the counted orders was settled; null when none was. */
export function quantileMs(counts: Counts, share: number): number | null {
  const steps = Object.entries(counts)
    .filter(([field]) => field.startsWith('ms:'))
    .map(([field, orders]) => ({ step: Number(field.slice(3)), orders }))
    .sort((one, other) => one.step - other.step);
  let wanted = steps.reduce((sum, { orders }) => sum + orders, 0) * share;
  for (const { step, orders } of steps) {
    wanted -= orders;
    if (wanted <= 0) return msOfStep(step);
  }
  return null;
}

function numbersOf(fields: Record<string, string> | null): Counts {
  return Object.fromEntries(Object.entries(fields ?? {}).map(([field, value]) => [field, Number(value)]));
}
