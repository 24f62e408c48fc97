import Bull from 'bull';
import type { Redis } from 'ioredis';
import { redisClock } from '../../runtime/clock.ts';
import type { Log } from '../../runtime/observe/log.ts';
import { aborted } from '../../runtime/pause.ts';
import type { DeadLetter, PurchaseJob } from '../contract.ts';
import { bullAddJob } from './bull-add-job.ts';
import { loadBullScripts } from './bull-scripts.ts';
import { attemptsMax, type FlushPart, firstRetryMs, type PurchaseQueue, purchasesIn } from './queue.ts';

type Queue = Bull.Queue<PurchaseJob>;
type Job = Bull.Job<PurchaseJob>;
/** Bull moves what stalled by this method, which its types leave out. */
type StalledQueue = Queue & { moveUnlockedJobsToWait(): Promise<void> };

/** The handler's name for a job that was added without one, as Bull spells it. */
const jobName = '__default__';

/** A job that failed as often as it is tried stays in Bull's failed set. */
const jobOptions = {
  attempts: attemptsMax,
  backoff: { type: 'exponential', delay: firstRetryMs },
  delay: 0,
  removeOnComplete: true,
} as const satisfies Bull.JobOptions;

/** A job whose worker fell silent more often is a dead letter: it may be what its workers die of. */
const stalledMax = attemptsMax;
/** How Bull then says so. */
const stalledReason = 'job stalled more than allowable limit';

/** After an error of Redis, before a job is asked for again. */
const fetchAgainMs = 500;

/** More jobs than this in one state are looked at in part, or in parts. */
const jobsAtOnce = 1_000;

/**
 * @param openClient a new connection that waits for Redis as long as it takes.
 * @param lockMs a worker that is silent for so long loses its job to another.
 */
export function openBullQueue(
  openClient: (options: { enableReadyCheck: boolean }) => { redis: Redis; close: () => Promise<void> },
  { lockMs }: { lockMs: number },
  log: Log,
): PurchaseQueue {
  const clients: { close: () => Promise<void> }[] = [];
  const bull = new Bull<PurchaseJob>('purchases', {
    // Bull's types know the ioredis it carries; it runs on a newer one as well.
    createClient: ((type: string) => {
      // Bull refuses the check on the connections that block or subscribe.
      const client = openClient({ enableReadyCheck: type === 'client' });
      if (type === 'client') loadBullScripts(client.redis, log);
      clients.push(client);
      return client.redis;
    }) as unknown as NonNullable<Bull.QueueOptions['createClient']>,
    settings: {
      lockDuration: lockMs,
      lockRenewTime: Math.round(lockMs / 3),
      // A job that no worker holds, as when Redis died in the middle of handing it out, waits for two of these checks.
      stalledInterval: Math.round(lockMs / 6),
      maxStalledCount: stalledMax,
      retryProcessDelay: fetchAgainMs,
    },
  }) as StalledQueue;
  bull.on('error', (error) => log.warn({ error: error.message }, 'Bull'));
  bull.on('failed', ({ id, attemptsMade }, error) =>
    log.error({ job: id, attempt: attemptsMade, error: error.message }, 'a job failed'),
  );
  /** Bull is told once what to process; then it only pauses. */
  let isProcessing = false;
  let isPaused = false;
  /** Ids of the jobs that `handle` has now. */
  const inHand = new Set<string>();

  // What this process has in hand is not stalled, even if it was too busy to renew its locks; and only the leader checks.
  const moveStalledJobs = bull.moveUnlockedJobsToWait;
  let isChecking = false;
  bull.moveUnlockedJobsToWait = async () => {
    // While Redis is away one check waits for it, and not one more each time.
    if (isPaused || isChecking) return;
    isChecking = true;
    try {
      if (inHand.size > 0) await bull.client.srem(bull.toKey('stalled'), [...inHand]);
      await moveStalledJobs();
    } catch (error) {
      log.warn({ error: (error as Error).message }, 'jobs that nobody holds were not looked for');
    }
    isChecking = false;
  };

  /**
   * Before this process asks for its first job, whatever is active without a lock was another's: it need not be seen twice.
   * What still has its lock may be in good hands, and is left to the checks that follow.
   */
  async function takeOver(): Promise<void> {
    const active = await bull.client.lrange(bull.toKey('active'), 0, -1);
    for (let start = 0; start < active.length; start += jobsAtOnce)
      await bull.client.sadd(bull.toKey('stalled'), active.slice(start, start + jobsAtOnce));
    await bull.client.del(bull.toKey('stalled-check'));
    await bull.moveUnlockedJobsToWait();
  }

  async function handleJob(job: Job, handle: (data: unknown) => Promise<void>): Promise<void> {
    // Fetched for a worker that was frozen, and ended by another meanwhile: Bull made it anew, with nothing in it.
    if (Number.isNaN(job.timestamp)) {
      await bull.client.del(bull.toKey(String(job.id)));
      job.moveToCompleted = async () => null;
      return;
    }
    inHand.add(String(job.id));
    try {
      await handle(job.data);
      keepFromFailing(job);
    } finally {
      inHand.delete(String(job.id));
    }
  }

  return {
    bull,
    flush: flushPartOf(bull),
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

/** A job that its workers died of has, besides the errors of its attempts, only Bull's count of those workers. */
async function deadLetterOf(bull: Queue, job: Job): Promise<DeadLetter> {
  const failures = Math.max(job.attemptsMade, job.stacktrace.length);
  const isStalled = job.failedReason === stalledReason;
  const silences = isStalled
    ? Number(await bull.client.hget(bull.toKey(String(job.id)), 'stalledCounter'))
    : 0;
  const [lastError] = job.stacktrace.at(-1)?.split('\n') ?? [];
  return {
    id: String(job.id),
    reason: isStalled
      ? `${silences} workers died or fell silent with it in hand${lastError ? `; another time: ${lastError}` : ''}`
      : (job.failedReason ?? 'unknown'),
    attempts: failures + silences,
    failedAt: new Date(job.finishedOn ?? job.timestamp).toISOString(),
    data: job.data,
    stacks: job.stacktrace.slice(-attemptsMax),
  };
}

/** A job that was handled has not failed, whatever keeps Bull from noting it: it stays active until it is taken over. */
function keepFromFailing(job: Job): void {
  job.moveToFailed = async ({ message }) => {
    throw new Error(`Job ${job.id} was handled, and Bull could not note it: ${message}`);
  };
}
