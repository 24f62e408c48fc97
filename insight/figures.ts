import type { Redis } from 'ioredis';
import type { Lag } from '../messages/subscriptions.ts';
import { redisClock } from '../runtime/clock.ts';
import type { ClusterFigures } from '../runtime/observe/cluster-metrics.ts';
import type { Gate } from '../sale/admission/gate.ts';
import type { PurchaseQueue } from '../sale/queue/queue.ts';
import { noRehearsals } from '../sale/rehearsal.ts';
import type { Collections } from '../store/collections.ts';
import { countUnsentMails } from '../subscribers/mail/unsent-mails.ts';
import { readAuditStatus } from './audit/status.ts';
import type { QueueFigures } from './contract.ts';
import { type Counts, quantileMs, readSeconds, sumOf } from './counters.ts';
import { readMoneyFigures } from './money.ts';

/** The queue's current size, as Redis has it; without the shards of a cluster that do not answer. */
export interface Backlog {
  depth: number;
  oldestMs: number;
  deadLetters: number;
}

export interface FigureSources {
  collections: Collections;
  redis: Redis;
  gate: Gate;
  queue: PurchaseQueue;
  /** Reads the unhandled events of each subscriber. */
  countLag: () => Promise<Lag>;
}

export async function readBacklog({ gate, queue }: Pick<FigureSources, 'gate' | 'queue'>): Promise<Backlog> {
  const [{ queued, oldestAtMs }, { failed }] = await Promise.all([gate.readBacklog(), queue.countJobs()]);
  const oldestMs = oldestAtMs === null ? 0 : Math.max(0, redisClock.now().getTime() - oldestAtMs);
  return { depth: queued, oldestMs, deadLetters: failed };
}

/** A second's counts are complete after this time, because every process adds its counts once a second. */
export const completeAfterSeconds = 2;
const rateSeconds = 10;
const spanSeconds = 60;
const growthSeconds = 300;
const growthStepSeconds = 10;

export async function readQueueFigures(sources: FigureSources): Promise<QueueFigures> {
  const [figures, lag] = await Promise.all([readQueueState(sources), sources.countLag()]);
  return { ...figures, lag: knownOf(lag) };
}

const knownOf = (lag: Lag) =>
  Object.fromEntries(
    Object.entries(lag).flatMap(([name, events]) => (events === null ? [] : [[name, events]])),
  );

/** The figures that Redis alone has. */
export async function readQueueState(
  sources: Omit<FigureSources, 'countLag'>,
): Promise<Omit<QueueFigures, 'lag'>> {
  const to = Math.floor(redisClock.now().getTime() / 1_000) - completeAfterSeconds;
  const [backlog, seconds, before] = await Promise.all([
    readBacklog(sources),
    readSeconds(sources.redis, to - spanSeconds + 1, to),
    readSeconds(sources.redis, to - growthSeconds, to, growthStepSeconds),
  ]);
  const recent = sumOf(seconds.slice(-rateSeconds));
  const span = sumOf(seconds);
  return {
    ...backlog,
    inPerSecond: (recent.admitted ?? 0) / rateSeconds,
    outPerSecond: endedIn(recent) / rateSeconds,
    p50Ms: quantileMs(span, 0.5),
    p99Ms: quantileMs(span, 0.99),
    // A younger shop has no figure from back then, so its first one is used.
    deadLetterGrowth: backlog.deadLetters - (firstNoted(before) ?? backlog.deadLetters),
    successRate: successRateOf(span),
  };
}

/** Fields of a second that are no answers to presses of Buy. */
const notAnswers =
  /^(held|paid|paid_later|rejected|failed|expired|cancelled|refunded|queued|oldestMs|deadLetters|otherFault|ms:.*|nginx:.*)$/;

/** Answers to presses of Buy, by outcome; `fault` when Redis or MongoDB was unavailable. */
export const answersOf = (counts: Counts): Counts =>
  Object.fromEntries(Object.entries(counts).filter(([field]) => !notAnswers.test(field)));

/** Answers 5xx: by the servers, and by nginx itself. */
export function faultsOf(counts: Counts): { servers: number; nginx: number } {
  const { fault = 0, busy = 0, unconfirmed = 0, otherFault = 0 } = counts;
  const nginx = Object.entries(counts).filter(([field]) => field.startsWith('nginx:5'));
  return {
    servers: fault + busy + unconfirmed + otherFault,
    nginx: nginx.reduce((sum, [, answers]) => sum + answers, 0),
  };
}

/** The share of all answers that were none of our faults; a purchase that was accepted and given up counts as one. */
function successRateOf(counts: Counts): number | null {
  const { servers, nginx } = faultsOf(counts);
  const presses = Object.values(answersOf(counts)).reduce((sum, answers) => sum + answers, 0);
  const all = presses + (counts.otherFault ?? 0) + nginx;
  // A purchase may be given up long after its answer.
  const failures = Math.min(all, servers + nginx + (counts.failed ?? 0));
  if (all === 0) return counts.failed ? 0 : null;
  return 1 - failures / all;
}

const endedIn = ({ held = 0, paid = 0, rejected = 0, failed = 0 }: Counts) => held + paid + rejected + failed;

const firstNoted = (seconds: Counts[]) =>
  seconds.find(({ deadLetters }) => deadLetters !== undefined)?.deadLetters;

const shownSales = 20;

/** Reads the figures of the whole cluster for the metrics: see runtime/observe/cluster-metrics.ts. */
export const clusterFigures = (sources: FigureSources): ClusterFigures => ({
  backlog: () => readBacklog(sources),
  lag: async () => knownOf(await sources.countLag()),
  stocks: () => readOpenStocks(sources.collections),
  async audit() {
    const { at, state, breaches } = await readAuditStatus(sources.redis);
    return at !== null && state !== 'failed' ? { breaches, atMs: Date.parse(at) } : null;
  },
  mails: () => countUnsentMails(sources.collections),
  async money() {
    const { holds, failedRefunds, dueMs } = await readMoneyFigures(sources.collections);
    return { holds, failedRefunds, oldestDueMs: dueMs };
  },
});

/** The stock of the open sales that opened last. */
async function readOpenStocks({ sales }: Collections): Promise<{ saleId: string; stock: number }[]> {
  const now = redisClock.now();
  const on = { ...noRehearsals, opensAt: { $lte: now }, closesAt: { $gt: now } };
  const found = await sales
    .find(on, { projection: { stock: 1 } })
    .sort({ opensAt: -1 })
    .limit(shownSales)
    .toArray();
  return found.map(({ _id: saleId, stock }) => ({ saleId, stock }));
}
