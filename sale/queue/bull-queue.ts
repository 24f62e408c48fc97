import Bull from 'bull';
import type { Redis } from 'ioredis';
import { redisClock } from '../../runtime/clock.ts';
import type { Log } from '../../runtime/observe/log.ts';
import { aborted } from '../../runtime/pause.ts';
import type { DeadLetter, PurchaseJob } from '../contract.ts';
import { bullAddJob } from './bull-add-job.ts';
import { keepBullScripts, loadBullScripts } from './bull-scripts.ts';
import { attemptsMax, type FlushPart, type PurchaseQueue, purchasesIn } from './queue.ts';

type Queue = Bull.Queue<PurchaseJob>;
type Job = Bull.Job<PurchaseJob>;
/** Bull's method that moves stalled jobs back, which its types leave out. */
type StalledQueue = Queue & { moveUnlockedJobsToWait(): Promise<void> };

/** The handler's name for a job that was added without one, as Bull spells it. */
const jobName = '__default__';

/** A job that failed as often as it is tried stays in Bull's failed set. */
const jobOptionsOf = (firstRetryMs: number) =>
  ({
    attempts: attemptsMax,
    backoff: { type: 'exponential', delay: firstRetryMs },
    delay: 0,
    removeOnComplete: true,
  }) as const satisfies Bull.JobOptions;

/** A job that stalled more often becomes a dead letter, because it may be the cause of its workers' crashes. */
const stalledMax = attemptsMax;
/** Bull's failure reason for such a job. */
const stalledReason = 'job stalled more than allowable limit';

/** Delay after a Redis error before the next job is fetched. */
const fetchAgainMs = 500;

/** Page size when jobs of one state are listed. */
const jobsAtOnce = 1_000;

/**
 * @param openClient opens a connection that retries without a limit while Redis is away.
 * @param lockMs the job lock's lifetime: a worker that does not renew it in time loses the job to another.
 * @param firstRetryMs the delay before the second attempt at a job; it doubles for each further one.
 */
export function openBullQueue(
  openClient: (options: { enableReadyCheck: boolean }) => { redis: Redis; close: () => Promise<void> },
  { lockMs, firstRetryMs }: { lockMs: number; firstRetryMs: number },
  log: Log,
): PurchaseQueue {
  const jobOptions = jobOptionsOf(firstRetryMs);
  const clients: { close: () => Promise<void> }[] = [];
  const bull = new Bull<PurchaseJob>('purchases', {
    // Bull's types expect its bundled ioredis 5; it also runs with version 6.
    createClient: ((type: string) => {
      // Bull does not allow the ready check on its blocking and subscribing connections.
      const client = openClient({ enableReadyCheck: type === 'client' });
      if (type === 'client') keepBullScripts(client.redis, log);
      clients.push(client);
      return client.redis;
    }) as unknown as NonNullable<Bull.QueueOptions['createClient']>,
    settings: {
      lockDuration: lockMs,
      lockRenewTime: Math.round(lockMs / 3),
      // A job without a lock is moved back after two of these checks, for example when Redis died while handing it out.
      stalledInterval: Math.round(lockMs / 6),
      maxStalledCount: stalledMax,
      retryProcessDelay: fetchAgainMs,
    },
  }) as StalledQueue;
  bull.on('error', (error) => log.warn({ error: error.message }, 'Bull reported an error'));
  bull.on('failed', ({ id, attemptsMade }, error) =>
    log.error({ job: id, attempt: attemptsMade, error: error.message }, 'purchase job failed'),
  );
  /** `bull.process` may be called once only; after that the queue is paused and resumed. */
  let isProcessing = false;
  let isPaused = false;
  /** Ids of the jobs that this process is handling. */
  const inHand = new Set<string>();

  // Only the leader checks for stalled jobs, and jobs it is handling itself are excluded: it may be too busy to renew locks.
  const moveStalledJobs = bull.moveUnlockedJobsToWait;
  let isChecking = false;
  bull.moveUnlockedJobsToWait = async () => {
    // One check at a time, so that checks do not pile up while Redis is away.
    if (isPaused || isChecking) return;
    isChecking = true;
    try {
      if (inHand.size > 0) await bull.client.srem(bull.toKey('stalled'), [...inHand]);
      await moveStalledJobs();
    } catch (error) {
      log.warn({ error: (error as Error).message }, 'check for stalled jobs failed');
    }
    isChecking = false;
  };

  /**
   * Moves the previous leader's active jobs back to the queue if their locks have expired. This needs one check instead of
   * two, because this process has not taken a job yet. A job that is still locked is left to the regular checks.
   */
  async function takeOver(): Promise<void> {
    const active = await bull.client.lrange(bull.toKey('active'), 0, -1);
    for (let start = 0; start < active.length; start += jobsAtOnce)
      await bull.client.sadd(bull.toKey('stalled'), active.slice(start, start + jobsAtOnce));
    await bull.client.del(bull.toKey('stalled-check'));
    await bull.moveUnlockedJobsToWait();
  }

  async function handleJob(job: Job, handle: (data: unknown) => Promise<void>): Promise<void> {
    // This worker was frozen after it fetched the job and another worker completed it; Bull then returns an empty job.
    if (Number.isNaN(job.timestamp)) {
      await bull.client.del(bull.toKey(String(job.id)));
      job.moveToCompleted = async () => null;
      return;
    }
    inHand.add(String(job.id));
    try {
      await handle(job.data).catch(async (error) => {
        // Bull stores the failed attempt and its error by these scripts.
        await loadBullScripts(bull.client as unknown as Redis);
        throw error;
      });
      keepFromFailing(job);
    } finally {
      inHand.delete(String(job.id));
    }
  }

  return {
    bull,
    flush: flushPartOf(bull, jobOptions),
    dependencies: {},
    held: () => ({}),

    async add(jobs) {
      const timestamp = redisClock.now().getTime();
      const added = await bull.addBulk(jobs.map((data) => ({ data, opts: { ...jobOptions, timestamp } })));
      if (added.some(({ id }) => !id)) throw new Error('Redis refused a job');
      return Math.min(...added.map(({ timestamp }) => timestamp));
    },

    async process(maxJobs, handle, signal) {
      await bull.isReady();
      isPaused = false;
      await takeOver();
      if (isProcessing) await bull.resume(true);
      else void bull.process(maxJobs, (job) => handleJob(job, handle));
      isProcessing = true;
      await aborted(signal);
      isPaused = true;
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
      return await Promise.all(jobs.filter(Boolean).map((job) => deadLetterOf(bull, job)));
    },

    async findDeadLetter(id) {
      const job = await findFailed(bull, id);
      return job && (await deadLetterOf(bull, job));
    },

    republish: (id) => republish(bull, id),

    async removeDeadLetter(id) {
      const job = await findFailed(bull, id);
      // ZREM succeeds for one caller only, so concurrent requests remove the job once.
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

/** Lifetime of a claim on a dead letter. If the claiming process dies, the letter can be republished after this. */
const claimedMs = 60_000;

/** Bull's own queue, for tools that inspect single jobs. @throws Error with another engine. */
export function bullOf({ bull }: PurchaseQueue): Queue {
  if (!bull) throw new Error('Only with PURCHASE_QUEUE=bull');
  return bull;
}

/** The flush runs Bull's own script, so its job is identical to one added by `bull.add`. */
function flushPartOf(bull: Queue, jobOptions: Bull.JobOptions): FlushPart {
  return {
    keys: bullAddJob.keys.map((name) => bull.toKey(name)),
    lua: `
      local function addBullJob(KEYS, ARGV)
        ${bullAddJob.lua}
      end
      local function addJob(KEYS, job, now)
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
  // States are read in the order in which jobs pass through them, so a job that moves meanwhile is seen twice, not missed.
  for (const state of ['delayed', 'waiting', 'paused', 'active', 'delayed'] as const) {
    for (let start = 0; ; start += jobsAtOnce) {
      const jobs = await bull.getJobs([state], start, start + jobsAtOnce - 1);
      // A job that completed between listing and reading is null.
      for (const job of jobs) for (const { orderId } of purchasesIn(job?.data)) ids.add(orderId);
      if (jobs.length < jobsAtOnce) break;
    }
  }
  return ids;
}

async function republish(bull: Queue, id: string): Promise<boolean> {
  const job = await findFailed(bull, id);
  if (!job) return false;
  // The claim lets one of several concurrent requests republish. It names `finishedOn`, because the job can fail again and
  // become a new dead letter under the same id.
  const claim = `republished:${id}:${job.finishedOn ?? 0}`;
  if ((await bull.client.set(claim, '1', 'PX', claimedMs, 'NX')) !== 'OK') return false;
  try {
    await job.update({ ...job.data, again: true });
    await job.retry();
    return true;
  } catch (error) {
    await bull.client.del(claim);
    if (await job.isFailed()) throw error;
    return false; // The dead letter was discarded meanwhile.
  }
}

async function findFailed(bull: Queue, id: string): Promise<Job | null> {
  const job = await bull.getJob(id);
  return job && (await job.isFailed()) ? job : null;
}

/** A job that kept stalling has no error of its own, so Bull's count of its stalls is reported. */
async function deadLetterOf(bull: Queue, job: Job): Promise<DeadLetter> {
  const failures = Math.max(job.attemptsMade, job.stacktrace.length);
  const isStalled = job.failedReason === stalledReason;
  const stalls = isStalled ? Number(await bull.client.hget(bull.toKey(String(job.id)), 'stalledCounter')) : 0;
  const [lastError] = job.stacktrace.at(-1)?.split('\n') ?? [];
  return {
    id: String(job.id),
    reason: isStalled
      ? `${stalls} workers died or lost their lock while handling it${lastError ? `; last error: ${lastError}` : ''}`
      : (job.failedReason ?? 'unknown'),
    attempts: failures + stalls,
    failedAt: new Date(job.finishedOn ?? job.timestamp).toISOString(),
    data: job.data,
    stacks: job.stacktrace.slice(-attemptsMax),
  };
}

/** Keeps Bull from failing a job that was handled but not completed in Redis: it stays active until its lock expires. */
function keepFromFailing(job: Job): void {
  job.moveToFailed = async ({ message }) => {
    throw new Error(`Job ${job.id} was handled, but Bull could not complete it: ${message}`);
  };
}
