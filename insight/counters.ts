import type { Redis } from 'ioredis';
import { nanoid } from 'nanoid';
import type { Registry } from 'prom-client';
import { redisClock } from '../runtime/clock.ts';
import { exposeCounts } from '../runtime/observe/metrics.ts';
import { singleFlight } from '../runtime/single-flight.ts';
import type { AdmissionResult } from '../sale/admission/admission.ts';
import type { Order } from '../sale/contract.ts';
import { isRehearsal } from '../sale/rehearsal.ts';
import type { OrderRecord } from '../store/collections.ts';
import type { PaymentRecord } from '../store/payment-collections.ts';
import type { Backlog } from './figures.ts';

/**
 * Counts of the events of each second over all instances, for the control room. Every process counts in its own memory
 * and adds its counts to Redis once a second, so that a purchase costs no round trip; a killed process loses the counts
 * of its last second, and those that wait for an unavailable Redis. The exact figures are in MongoDB. Nothing of a rehearsal is
 * counted, because the figures are the shop's.
 */
const keysFor = (redis: Redis) => {
  // On Redis Cluster they have one hash tag, because a script adds to all of them.
  const tally = redis.isCluster ? '{tally}' : 'tally';
  return {
    second: (second: number) => `${tally}:${second}`,
    sale: (saleId: string) => `${tally}:sale:${saleId}`,
    extremes: (saleId: string) => `${tally}:edge:${saleId}`,
    flush: (id: string) => `${tally}:flush:${id}`,
  };
};

const secondKeptSeconds = 900;
const saleKeptSeconds = 90 * 86_400;
const flushEveryMs = 1_000;
/** Longer than Redis can take to answer a flush that was sent before. */
const flushKeptSeconds = 60;

/** Counts that were sent to Redis. */
interface Flush {
  id: string;
  argument: string;
}

/**
 * Adds the counts of a flush unless it has done so already, because a flush is sent again when its answer is late. KEYS[1]
 * the flush; ARGV: its counts as JSON, the lifetime of its key and of the extremes (s).
 */
const addCounts = `
if not redis.call('SET', KEYS[1], '1', 'NX', 'EX', ARGV[2]) then return end
local flush = cjson.decode(ARGV[1])
for _, sum in ipairs(flush.sums) do
  for n = 1, #sum[3], 2 do redis.call('HINCRBY', sum[1], sum[3][n], sum[3][n + 1]) end
  redis.call('EXPIRE', sum[1], sum[2])
end
for _, edge in ipairs(flush.edges) do
  redis.call('ZADD', edge[1], 'LT', edge[2], 'fastest')
  redis.call('ZADD', edge[1], 'GT', edge[3], 'slowest')
  redis.call('EXPIRE', edge[1], ARGV[3])
end`;

/** Times are counted in buckets that grow by a tenth: `ms:<step>` counts times up to 1.1 ** step milliseconds. */
const stepOf = (ms: number) => Math.ceil(Math.log(Math.max(1, ms)) / Math.log(1.1));
const msOfStep = (step: number) => Math.round(1.1 ** step);

export type Counts = Record<string, number>;

const noOrders = {
  held: 0,
  paid: 0,
  rejected: 0,
  failed: 0,
  paid_later: 0,
  expired: 0,
  cancelled: 0,
  refunded: 0,
};

/** A count for each outcome of a press of Buy; `failed` counts those that Redis or MongoDB could not decide. */
const noAdmissions = {
  admitted: 0,
  known: 0,
  sold_out: 0,
  not_open: 0,
  over_limit: 0,
  paused: 0,
  ended: 0,
  drawn: 0,
  elsewhere: 0,
  no_pass: 0,
  not_admitted: 0,
  code_used: 0,
  unknown_sale: 0,
  unknown_item: 0,
  busy: 0,
  unconfirmed: 0,
  failed: 0,
} satisfies Record<AdmissionResult, number>;

/** Payments by how an attempt ended; `failed`: refused by the provider, and another attempt may follow. */
const noPayments = { captured: 0, failed: 0, voided: 0, refunded: 0 };

type LaterStatus = 'paid_later' | 'expired' | 'cancelled' | 'refunded';

export interface Counters {
  /** The counts of this process since its start. Its Prometheus metrics read them, so that nothing is counted twice. */
  totals: {
    admissions: Readonly<Record<AdmissionResult, number>>;
    orders: Readonly<Record<'held' | 'paid' | 'rejected' | 'failed' | LaterStatus, number>>;
    payments: Readonly<typeof noPayments>;
  };
  /** Counts the outcome of a press of Buy. */
  admission(saleId: string, result: AdmissionResult): void;
  /** Counts the orders that a batch created. */
  settled(createdOrders: OrderRecord[]): void;
  /** Counts purchases that were rejected because they could not be settled. */
  failed(purchases: number): void;
  /** Counts orders that got another status after they were settled. */
  changed(orders: Pick<Order, 'saleId' | 'status'>[]): void;
  /** Counts a payment that got another state. */
  payment(changed: Pick<PaymentRecord, 'saleId' | 'state'>): void;
  /** Counts an answer 5xx to another request than a press of Buy. */
  fault(): void;
  /** Counts answers that nginx made itself. */
  proxyAnswers(status: string, answers: number): void;
  close(): Promise<void>;
}

export function openCounters(redis: Redis): Counters {
  const keys = keysFor(redis);
  const totals = { admissions: { ...noAdmissions }, orders: { ...noOrders }, payments: { ...noPayments } };
  let counts = new Map<string, Map<string, number>>();
  let extremes = new Map<string, { fastest: number; slowest: number }>();

  /** What Redis has not confirmed. It is sent again under its id, by which Redis adds it once. */
  let unconfirmed: Flush | null = null;

  function add(key: string, field: string, by = 1): void {
    const fields = counts.get(key) ?? new Map<string, number>();
    fields.set(field, (fields.get(field) ?? 0) + by);
    counts.set(key, fields);
  }
  function count(saleId: string, field: string): void {
    add(keys.second(nowSecond()), field);
    add(keys.sale(saleId), field);
  }
  function countTime(saleId: string, ms: number): void {
    count(saleId, `ms:${stepOf(ms)}`);
    const { fastest, slowest } = extremes.get(saleId) ?? { fastest: ms, slowest: ms };
    extremes.set(saleId, { fastest: Math.min(fastest, ms), slowest: Math.max(slowest, ms) });
  }

  const nowSecond = () => Math.floor(redisClock.now().getTime() / 1_000);

  function takeCounts(): Flush {
    const ttlOf = (key: string) => (key.startsWith(keys.sale('')) ? saleKeptSeconds : secondKeptSeconds);
    const sums = [...counts].map(([key, fields]) => [key, ttlOf(key), [...fields].flat()]);
    const edges = [...extremes].map(([id, { fastest, slowest }]) => [keys.extremes(id), fastest, slowest]);
    counts = new Map();
    extremes = new Map();
    return { id: nanoid(), argument: JSON.stringify({ sums, edges }) };
  }

  /** While Redis is unavailable, each second's counts wait here as long as Redis would keep them. */
  function dropOld(): void {
    const oldest = nowSecond() - secondKeptSeconds;
    const secondOf = new RegExp(`^${keys.second(0).slice(0, -1)}(\\d+)$`);
    for (const key of counts.keys()) {
      const second = secondOf.exec(key)?.[1];
      if (second && Number(second) < oldest) counts.delete(key);
    }
  }

  const flush = singleFlight(async () => {
    if (counts.size > 0) unconfirmed ??= takeCounts();
    if (!unconfirmed) return;
    try {
      const { id, argument } = unconfirmed;
      await redis.eval(addCounts, 1, keys.flush(id), argument, flushKeptSeconds, saleKeptSeconds);
      unconfirmed = null;
    } catch {
      dropOld();
    }
  });
  const timer = setInterval(() => void flush(''), flushEveryMs);

  return {
    totals,
    admission(saleId, result) {
      if (isRehearsal(saleId)) return;
      totals.admissions[result] += 1;
      // The field `failed` of a second counts purchases that could not be settled.
      if (result === 'failed') add(keys.second(nowSecond()), 'fault');
      // A client can invent ids of sales.
      else if (result !== 'unknown_sale') count(saleId, result);
    },
    settled(createdOrders) {
      for (const { saleId, status, createdAt, settledAt } of createdOrders) {
        if (isRehearsal(saleId)) continue;
        totals.orders[status === 'paid' || status === 'held' ? status : 'rejected'] += 1;
        count(saleId, status);
        const ms = settledAt.getTime() - createdAt.getTime();
        if (ms >= 0) countTime(saleId, ms);
      }
    },
    failed(purchases) {
      totals.orders.failed += purchases;
      if (purchases > 0) add(keys.second(nowSecond()), 'failed', purchases);
    },
    changed(orders) {
      for (const { saleId, status } of orders) {
        const later = status === 'paid' ? 'paid_later' : status;
        if (later !== 'paid_later' && later !== 'expired' && later !== 'cancelled' && later !== 'refunded')
          continue;
        if (isRehearsal(saleId)) continue;
        totals.orders[later] += 1;
        count(saleId, later);
      }
    },
    payment({ saleId, state }) {
      if (isRehearsal(saleId)) return;
      if (Object.hasOwn(totals.payments, state)) totals.payments[state as keyof typeof noPayments] += 1;
    },
    fault: () => add(keys.second(nowSecond()), 'otherFault'),
    proxyAnswers: (status, answers) => add(keys.second(nowSecond()), `nginx:${status}`, answers),
    async close() {
      clearInterval(timer);
      await flush('');
    },
  };
}

/** Exports what became of orders and payments, in servers and workers alike: each counts what it did itself. */
export function exposeOutcomes(registry: Registry, { totals }: Pick<Counters, 'totals'>): void {
  const orders = {
    name: 'stampede_orders_total',
    help: 'Accepted purchases by outcome (held, paid, rejected, or failed: not settled in any attempt), and orders by what they became later',
    label: 'status',
  };
  exposeCounts(registry, orders, () => totals.orders);
  const payments = {
    name: 'stampede_payments_total',
    help: 'Attempts to pay by outcome; failed: refused by the provider',
    label: 'outcome',
  };
  exposeCounts(registry, payments, () => totals.payments);
}

/** The counts of each second from `from` to `to` (Unix time in seconds), or of every `step`th one, in order. */
export async function readSeconds(redis: Redis, from: number, to: number, step = 1): Promise<Counts[]> {
  const pipeline = redis.pipeline();
  const { second: keyOf } = keysFor(redis);
  for (let second = from; second <= to; second += step) pipeline.hgetall(keyOf(second));
  const replies = (await pipeline.exec()) ?? [];
  return replies.map(([, fields]) => numbersOf(fields as Record<string, string> | null));
}

/** The counts of one sale since its beginning, and the shortest and longest time from acceptance to settlement. */
export async function readSaleCounts(
  redis: Redis,
  saleId: string,
): Promise<{ counts: Counts; fastestMs: number | null; slowestMs: number | null }> {
  const [fields, extremes] = await Promise.all([
    redis.hgetall(keysFor(redis).sale(saleId)),
    redis.zmscore(keysFor(redis).extremes(saleId), 'fastest', 'slowest'),
  ]);
  const [fastestMs, slowestMs] = extremes.map((ms) => (ms === null ? null : Number(ms)));
  return { counts: numbersOf(fields), fastestMs: fastestMs ?? null, slowestMs: slowestMs ?? null };
}

/** Stores the queue's state for this second. Every instance stores it, because all read the same state. */
export async function storeBacklog(redis: Redis, { depth, oldestMs, deadLetters }: Backlog): Promise<void> {
  const key = keysFor(redis).second(Math.floor(redisClock.now().getTime() / 1_000));
  await redis
    .pipeline()
    .hset(key, { queued: depth, oldestMs, deadLetters })
    .expire(key, secondKeptSeconds)
    .exec();
}

/** The sum of the counts of several seconds. The sum of the queue's states, which are no counts, has no meaning. */
export function sumOf(seconds: Counts[]): Counts {
  const sum = new Map<string, number>();
  for (const counts of seconds) {
    for (const [field, count] of Object.entries(counts)) sum.set(field, (sum.get(field) ?? 0) + count);
  }
  return Object.fromEntries(sum);
}

/** The time in ms within which this share of the counted orders was settled; null when none was counted. */
export function quantileMs(counts: Counts, share: number): number | null {
  const steps = Object.entries(counts)
    .filter(([field]) => field.startsWith('ms:'))
    .map(([field, orders]) => ({ step: Number(field.slice(3)), orders }))
    .sort((one, other) => one.step - other.step);
  let remaining = steps.reduce((sum, { orders }) => sum + orders, 0) * share;
  for (const { step, orders } of steps) {
    remaining -= orders;
    if (remaining <= 0) return msOfStep(step);
  }
  return null;
}

function numbersOf(fields: Record<string, string> | null): Counts {
  return Object.fromEntries(Object.entries(fields ?? {}).map(([field, value]) => [field, Number(value)]));
}
