import Bull from 'bull';
import type { Redis } from 'ioredis';
import { redisClock } from '../../runtime/clock.ts';
import type { Log } from '../../runtime/observe/log.ts';
import { aborted } from '../../runtime/pause.ts';
import { Fenced } from '../../store/shards.ts';
import { figuresPatienceMs } from '../admission/gate.ts';
import type { DeadLetter, PurchaseJob } from '../contract.ts';
import { askShards, groupByShard, keysOf, type Shard, unsharded } from '../shard.ts';
import { bullAddJob } from './bull-add-job.ts';
import { keepBullScripts, loadBullScripts } from './bull-scripts.ts';
import { attemptsMax, type FlushPart, type PurchaseQueue, purchasesIn } from './queue.ts';

type Queue = Bull.Queue<PurchaseJob>;
type Job = Bull.Job<PurchaseJob>;
/** What Bull's types leave out: the method that moves stalled jobs back, and the connection on which it waits for jobs. */
type WholeQueue = Queue & { moveUnlockedJobsToWait(): Promise<void>; readonly bclient: Redis };

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

/** How long a list of dead letters waits for each shard of a cluster. */
const listPatienceMs = 2_000;

/** Page size when jobs of one state are listed. */
const jobsAtOnce = 1_000;

/** Bull's queue of one shard. */
interface ShardQueue {
  shard: Shard;
  bull: Queue;
  process: (maxJobs: number, handle: (data: unknown) => Promise<void>, signal: AbortSignal) => Promise<void>;
}

/**
 * A Bull queue for each shard. They share their connections, except for those on which each waits for jobs.
 * @param openClient opens a connection: for a process that takes jobs, one that retries without a limit while Redis is away.
 * @param shards those that may hold jobs.
 * @param shardOfSale the shard in which a sale's purchases are queued.
 * @param lockMs the job lock's lifetime: a worker that does not renew it in time loses the job to another.
 * @param firstRetryMs the delay before the second attempt at a job; it doubles for each further one.
 */
export function openBullQueue(
  openClient: (options: { enableReadyCheck: boolean }) => { redis: Redis; close: () => Promise<void> },
  { shards, shardOfSale }: { shards: Shard[]; shardOfSale: (saleId: string) => Shard },
  { lockMs, firstRetryMs }: { lockMs: number; firstRetryMs: number },
  log: Log,
): PurchaseQueue {
  const jobOptions = jobOptionsOf(firstRetryMs);
  const clients: { close: () => Promise<void> }[] = [];
  const shared = new Map<string, Redis>();
  function clientOf(type: string): Redis {
    const known = shared.get(type);
    if (known) return known;
    // Bull does not allow the ready check on its blocking and subscribing connections.
    const client = openClient({ enableReadyCheck: type === 'client' });
    clients.push(client);
    if (type === 'client') keepBullScripts(client.redis, log);
    if (type === 'bclient') return client.redis;
    // Each queue listens on it.
    client.redis.setMaxListeners(0);
    shared.set(type, client.redis);
    return client.redis;
  }
  const queues = new Map(shards.map((shard) => [shard, openShardQueue(shard, clientOf, lockMs, log)]));
  const bullIn = (shard: Shard) => (queues.get(shard) as ShardQueue).bull;
  const bulls = [...queues.values()].map(({ bull }) => bull);
  /** Asks the shards that answer in time, if they may be on several nodes. */
  const askBulls = <Value>(ask: (bull: Queue, shard: Shard) => Promise<Value>, patienceMs: number) =>
    askShards(
      shards,
      (shard) => ask(bullIn(shard), shard),
      clientOf('client').isCluster ? patienceMs : undefined,
    );

  /** @returns null when there is none with this id. */
  async function findFailed(id: string): Promise<{ bull: Queue; job: Job } | null> {
    const { shard, jobId } = parseLetterId(id);
    const bull = queues.get(shard)?.bull;
    const job = await bull?.getJob(jobId);
    return bull && job && (await job.isFailed()) ? { bull, job } : null;
  }

  return {
    bulls,
    shards,
    flush: flushPartOf(bullIn, jobOptions),
    dependencies: {},
    held: () => ({}),

    async add(jobs) {
      const timestamp = redisClock.now().getTime();
      const options = { ...jobOptions, timestamp };
      const added = await Promise.all(
        [...groupByShard(partsOf(jobs, shardOfSale), ({ shard }) => shard)].map(([shard, parts]) =>
          bullIn(shard).addBulk(parts.map(({ job }) => ({ data: job, opts: options }))),
        ),
      );
      if (added.flat().some(({ id }) => !id)) throw new Error('Redis refused a job');
      return Math.min(...added.flat().map(({ timestamp }) => timestamp));
    },

    process: (shard, ...how) => (queues.get(shard) as ShardQueue).process(...how),

    async countJobs() {
      const { answers: counts } = await askBulls((bull) => bull.getJobCounts(), figuresPatienceMs);
      const sumOf = (state: 'waiting' | 'active' | 'delayed' | 'failed') =>
        counts.reduce((sum, ofShard) => sum + ofShard[state], 0);
      const [waiting, active] = [sumOf('waiting'), sumOf('active')];
      return { waiting, active, delayed: sumOf('delayed'), failed: sumOf('failed') };
    },

    async oldestJobMs(shard) {
      const some = shard === unsharded ? bulls : [bullIn(shard)];
      return Math.min(...(await Promise.all(some.map(oldestJobMsIn))));
    },

    async listOrderIds() {
      const ids = await Promise.all(bulls.map(orderIdsIn));
      return new Set(ids.flatMap((ofShard) => [...ofShard]));
    },

    async listDeadLetters({ start = 0, limit = 20 } = {}) {
      const { answers: found } = await askBulls(async (bull, shard) => {
        const jobs = await bull.getJobs(['failed'], 0, start + limit - 1);
        return jobs.filter(Boolean).map((job) => ({ shard, bull, job }));
      }, listPatienceMs);
      const newest = found
        .flat()
        .sort((one, other) => (other.job.finishedOn ?? 0) - (one.job.finishedOn ?? 0));
      return await Promise.all(
        newest.slice(start, start + limit).map(({ shard, bull, job }) => deadLetterOf(shard, bull, job)),
      );
    },

    async findDeadLetter(id) {
      const found = await findFailed(id);
      return found && (await deadLetterOf(parseLetterId(id).shard, found.bull, found.job));
    },

    async republish(id) {
      const found = await findFailed(id);
      return found !== null && (await republish(found.bull, found.job));
    },

    async removeDeadLetter(id) {
      const found = await findFailed(id);
      if (!found) return false;
      const { bull, job } = found;
      // ZREM succeeds for one caller only, so concurrent requests remove the job once.
      if ((await bull.client.zrem(bull.toKey('failed'), String(job.id))) === 0) return false;
      await job.remove();
      return true;
    },

    async close() {
      await Promise.all(bulls.map((bull) => bull.close()));
      for (const client of clients) await client.close();
    },
  };
}

/** The jobs of each shard: one can carry purchases of several. What is malformed names no sale, and goes to any of them. */
function partsOf(jobs: PurchaseJob[], shardOfSale: (saleId: string) => Shard) {
  return jobs.flatMap((job) => {
    if (!Array.isArray(job.purchases)) return [{ shard: shardOfSale(''), job }];
    const parts = groupByShard(job.purchases, (purchase) => shardOfSale(String(purchase?.saleId)));
    return [...parts].map(([shard, purchases]) => ({ shard, job: { ...job, purchases } }));
  });
}

/** The id of a dead letter; those of the previous version's queue have the job's id only. */
const letterIdOf = (shard: Shard, { id }: Job) => (shard === unsharded ? String(id) : `${shard}-${id}`);

function parseLetterId(id: string): { shard: Shard; jobId: string } {
  const dash = id.indexOf('-');
  if (dash === -1) return { shard: unsharded, jobId: id };
  return { shard: Number(id.slice(0, dash)), jobId: id.slice(dash + 1) };
}

function openShardQueue(
  shard: Shard,
  clientOf: (type: string) => Redis,
  lockMs: number,
  log: Log,
): ShardQueue {
  const { prefix, name } = keysOf(shard).bull;
  const bull = new Bull<PurchaseJob>(name, {
    prefix,
    // Bull's types expect its bundled ioredis 5; it also runs with version 6.
    createClient: clientOf as unknown as NonNullable<Bull.QueueOptions['createClient']>,
    settings: {
      lockDuration: lockMs,
      lockRenewTime: Math.round(lockMs / 3),
      // A job without a lock is moved back after two of these checks, for example when Redis died while handing it out.
      stalledInterval: Math.round(lockMs / 6),
      maxStalledCount: stalledMax,
      retryProcessDelay: fetchAgainMs,
    },
  }) as WholeQueue;
  bull.on('error', (error) => log.warn({ error: error.message }, 'Bull reported an error'));
  bull.on('failed', ({ id, attemptsMade }, error) =>
    log.error({ job: id, attempt: attemptsMade, error: error.message }, 'purchase job failed'),
  );
  /** `bull.process` may be called once only; after that the queue is paused and resumed. */
  let isProcessing = false;
  /** Resolves when Bull's blocking connection is made: with Redis Cluster a pause before that ends `bull.process` with an error. */
  let connected: Promise<unknown> | undefined;
  let isPaused = false;
  /** Ids of the jobs that this process is handling. */
  const inHand = new Set<string>();
  const handling = new Set<Promise<void>>();
  /** What the last call of `process` passed. */
  let handleData: (data: unknown) => Promise<void> = async () => {};

  // Only the worker that settles the shard checks for stalled jobs, and jobs it is handling itself are excluded: it may be too busy to renew locks.
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
   * Moves the previous worker's active jobs back to the queue if their locks have expired. This needs one check instead of
   * two, because this process has not taken a job yet. A job that is still locked is left to the regular checks.
   */
  async function takeOver(): Promise<void> {
    const active = await bull.client.lrange(bull.toKey('active'), 0, -1);
    for (let start = 0; start < active.length; start += jobsAtOnce)
      await bull.client.sadd(bull.toKey('stalled'), active.slice(start, start + jobsAtOnce));
    await bull.client.del(bull.toKey('stalled-check'));
    await bull.moveUnlockedJobsToWait();
  }

  function take(job: Job): Promise<void> {
    const handled = handleJob(job, handleData);
    const ended = handled.catch(() => {}).finally(() => handling.delete(ended));
    handling.add(ended);
    return handled;
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
        // It is no fault of the job, which stays active until its lock expires and another worker takes it over.
        if (error instanceof Fenced) keepFromFailing(job);
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
    shard,
    bull,

    async process(maxJobs, handle, signal) {
      await bull.isReady();
      isPaused = false;
      handleData = handle;
      await takeOver();
      if (isProcessing) await bull.resume(true);
      else void bull.process(maxJobs, take);
      isProcessing = true;
      connected ??= readyOnce(bull.bclient);
      await aborted(signal);
      isPaused = true;
      try {
        await connected;
        await bull.pause(true, true);
      } finally {
        await Promise.all(handling);
      }
    },
  };
}

const readyOnce = (redis: Redis) =>
  redis.status === 'ready' ? Promise.resolve() : new Promise((resolve) => redis.once('ready', resolve));

/** @returns Infinity when there is none. */
async function oldestJobMsIn(bull: Queue): Promise<number> {
  const [waiting, others] = await Promise.all([
    bull.getJobs(['waiting', 'paused'], 0, 0, true),
    bull.getJobs(['active', 'delayed'], 0, jobsAtOnce - 1, true),
  ]);
  return Math.min(...[...waiting, ...others].map((job) => job?.timestamp ?? 0));
}

/** Lifetime of a claim on a dead letter. If the claiming process dies, the letter can be republished after this. */
const claimedMs = 60_000;

/** The flush runs Bull's own script, so its job is identical to one added by `bull.add`. */
function flushPartOf(bullIn: (shard: Shard) => Queue, jobOptions: Bull.JobOptions): FlushPart {
  return {
    keysIn: (shard) => bullAddJob.keys.map((name) => bullIn(shard).toKey(name)),
    lua: `
      local function addBullJob(KEYS, ARGV)
        ${bullAddJob.lua}
      end
      local function addJob(KEYS, job, now)
        addBullJob({ unpack(KEYS, 2) }, {
          KEYS[2]:sub(1, -1 - ${bullAddJob.keys[0]?.length}), '', '${jobName}', job, cmsgpack.pack([[${JSON.stringify(jobOptions)}]]),
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

async function republish(bull: Queue, job: Job): Promise<boolean> {
  // The claim lets one of several concurrent requests republish. It names `finishedOn`, because the job can fail again and
  // become a new dead letter under the same id.
  const claim = `republished:${bull.name}:${job.id}:${job.finishedOn ?? 0}`;
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

/** A job that kept stalling has no error of its own, so Bull's count of its stalls is reported. */
async function deadLetterOf(shard: Shard, bull: Queue, job: Job): Promise<DeadLetter> {
  const failures = Math.max(job.attemptsMade, job.stacktrace.length);
  const isStalled = job.failedReason === stalledReason;
  const stalls = isStalled ? Number(await bull.client.hget(bull.toKey(String(job.id)), 'stalledCounter')) : 0;
  const [lastError] = job.stacktrace.at(-1)?.split('\n') ?? [];
  return {
    id: letterIdOf(shard, job),
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
