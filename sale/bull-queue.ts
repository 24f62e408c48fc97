import Bull from 'bull';
import type { Redis } from 'ioredis';
import { bullAddJob } from '../runtime/bull-add-job.ts';
import type { Log } from '../runtime/log.ts';
import { aborted } from '../runtime/pause.ts';
import type { PurchaseJob } from './contract.ts';
import {
  attemptsMax,
  type DeadLetter,
  type FlushPart,
  firstRetryMs,
  type PurchaseQueue,
  purchasesIn,
} from './queue.ts';

type Queue = Bull.Queue<PurchaseJob>;
type Job = Bull.Job<PurchaseJob>;

/** The handler's name for a job that was added without one, as Bull spells it. */
const jobName = '__default__';

/** A job that failed as often as it is tried stays in Bull's failed set. */
const jobOptions = {
  attempts: attemptsMax,
  backoff: { type: 'exponential', delay: firstRetryMs },
  delay: 0,
  removeOnComplete: true,
} as const satisfies Bull.JobOptions;

/** A job that no worker holds, as when Redis went away in the middle of handing it out, runs after two such checks. */
const stalledCheckMs = 5_000;

/** More jobs than this in one state are looked at in part, or in parts. */
const jobsAtOnce = 1_000;

/**
 * @param openClient a new connection that waits for Redis as long as it takes.
 * @param lockMs a worker that is silent for so long loses its job to another.
 */
export function openBullQueue(
  openClient: () => { redis: Redis; close: () => Promise<void> },
  { lockMs }: { lockMs: number },
  log: Log,
): PurchaseQueue {
  const clients: { close: () => Promise<void> }[] = [];
  const bull: Queue = new Bull<PurchaseJob>('purchases', {
    // Bull's types know the ioredis it carries; it runs on a newer one as well.
    createClient: (() => {
      const client = openClient();
      clients.push(client);
      return client.redis;
    }) as unknown as NonNullable<Bull.QueueOptions['createClient']>,
    settings: {
      lockDuration: lockMs,
      stalledInterval: Math.min(lockMs, stalledCheckMs),
      maxStalledCount: attemptsMax,
    },
  });
  bull.on('error', (error) => log.warn({ error: error.message }, 'Bull'));
  bull.on('failed', ({ id, attemptsMade }, error) =>
    log.error({ job: id, attempt: attemptsMade, error: error.message }, 'a job failed'),
  );
  /** Bull is told once what to process; then it only pauses. */
  let isProcessing = false;

  return {
    bull,
    flush: flushPartOf(bull),
    dependencies: {},
    held: () => ({}),

    async add(jobs) {
      const added = await bull.addBulk(jobs.map((data) => ({ data, opts: jobOptions })));
      return Math.min(...added.map(({ timestamp }) => timestamp));
    },

    async process(maxJobs, handle, signal) {
      if (isProcessing) await bull.resume(true);
      else void bull.process(maxJobs, (job) => handle(job.data));
      isProcessing = true;
      await aborted(signal);
      await bull.pause(true, true);
    },

    async countJobs() {
      const { waiting, active, delayed, failed } = await bull.getJobCounts();
      return { waiting, active, delayed, failed };
    },

    async oldestJobMs() {
      const [waiting, others] = await Promise.all([
        bull.getJobs(['waiting', 'paused'], 0, 0, true),
        bull.getJobs(['active', 'delayed', 'failed'], 0, jobsAtOnce - 1, true),
      ]);
      return Math.min(...[...waiting, ...others].map((job) => job?.timestamp ?? 0));
    },

    listOrderIds: () => orderIdsIn(bull),

    async listDeadLetters({ start = 0, limit = 20 } = {}) {
      const jobs = await bull.getJobs(['failed'], start, start + limit - 1);
      return jobs.filter(Boolean).map(deadLetterOf);
    },

    async findDeadLetter(id) {
      const job = await findFailed(bull, id);
      return job && deadLetterOf(job);
    },

    republish: (id) => republish(bull, id),

    async removeDeadLetter(id) {
      const job = await findFailed(bull, id);
      // Whoever takes it out of the failed jobs is the one who removes it.
      if (!job || (await bull.client.zrem(bull.toKey('failed'), id)) === 0) return false;
      await job.remove();
      return true;
    },

    async close() {
      await bull.close();
      for (const client of clients) await client.close();
    },
  };
}

/** Longer than a republishing takes; should its process die in the middle, it can be asked for again then. */
const claimedMs = 60_000;

/** For whoever looks at single jobs. @throws Error when the queue is another engine's. */
export function bullOf({ bull }: PurchaseQueue): Queue {
  if (!bull) throw new Error('Only with PURCHASE_QUEUE=bull');
  return bull;
}

/** A job added in the flush is exactly a job that Bull adds. */
function flushPartOf(bull: Queue): FlushPart {
  return {
    keys: bullAddJob.keys.map((name) => bull.toKey(name)),
    lua: `
      local function addBullJob(KEYS, ARGV)
        ${bullAddJob.lua}
      end
      local function leaveJob(KEYS, job, now)
        addBullJob({ unpack(KEYS, 2) }, {
          '${bull.toKey('')}', '', '${jobName}', job, cmsgpack.pack([[${JSON.stringify(jobOptions)}]]),
          string.format('%.0f', now), 0, 0, 0, 'LPUSH', '', '', '', '',
        })
      end
    `,
  };
}

async function orderIdsIn(bull: Queue): Promise<Set<string>> {
  const ids = new Set<string>();
  // In the order in which jobs move on, and newest first: what moves meanwhile is seen twice and never missed.
  for (const state of ['delayed', 'waiting', 'paused', 'active', 'delayed'] as const) {
    for (let start = 0; ; start += jobsAtOnce) {
      const jobs = await bull.getJobs([state], start, start + jobsAtOnce - 1);
      // A job can end between the listing and the reading of it.
      for (const job of jobs) for (const { orderId } of purchasesIn(job?.data)) ids.add(orderId);
      if (jobs.length < jobsAtOnce) break;
    }
  }
  return ids;
}

async function republish(bull: Queue, id: string): Promise<boolean> {
  const job = await findFailed(bull, id);
  if (!job) return false;
  // A letter may be back a moment later, as the next one under its id: of several who ask for this one, one gets it.
  const claim = `republished:${id}:${job.finishedOn ?? 0}`;
  if ((await bull.client.set(claim, '1', 'PX', claimedMs, 'NX')) !== 'OK') return false;
  try {
    await job.update({ ...job.data, again: true });
    await job.retry();
    return true;
  } catch (error) {
    await bull.client.del(claim);
    if (await job.isFailed()) throw error;
    return false; // Somebody discarded it.
  }
}

async function findFailed(bull: Queue, id: string): Promise<Job | null> {
  const job = await bull.getJob(id);
  return job && (await job.isFailed()) ? job : null;
}

function deadLetterOf(job: Job): DeadLetter {
  return {
    id: String(job.id),
    reason: job.failedReason ?? 'unknown',
    attempts: Math.max(job.attemptsMade, job.stacktrace.length),
    failedAt: new Date(job.finishedOn ?? job.timestamp).toISOString(),
    data: job.data,
    stacks: job.stacktrace.slice(-attemptsMax),
  };
}
