import { hostname } from 'node:os';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Redis } from 'ioredis';
import { redisClock } from '../clock.ts';
import { lagSampleMs } from '../observe/metrics.ts';

/** The status that a process writes to Redis once a second. */
export interface Beat {
  /** Unique for each process, even where several share one instance name. */
  id: string;
  role: 'server' | 'worker';
  instance: string;
  startedAt: string;
  memoryMb: number;
  /** The longest event loop delay in the last second. */
  lateMs: number;
  /** How far its machine's clock is ahead of Redis'; absent before the first read of that clock. */
  clockAheadMs?: number;
  /** Jobs that a worker is handling and the oldest one's timestamp (Unix ms); absent where the queue counts them itself. */
  heldJobs?: number;
  oldestJobMs?: number;
  /** Absent in the previous version, which knows no shards: see sale/shard.ts. */
  isSharded?: true;
  /** Absent in the previous version, which would sell past the phases of a sale: see sale/access/access.ts. */
  knowsPhases?: true;
  /** Absent in the previous version, whose leader knows no bound of who is inside a room in front of another site. */
  knowsSites?: true;
  /** How many shards a worker settles; absent for one that cannot settle now, and for a server. */
  shards?: number;
  /** Open sockets of a server; absent for a worker. */
  sockets?: number;
  /** The number of sockets that watch each sale. */
  watching?: Record<string, number>;
}

const beatEveryMs = 1_000;
/** A process without a heartbeat for this long counts as dead. Its key expires in Redis, so no clocks are compared. */
const silentAfterMs = 4_000;
/** A dead process stays listed for this long, so that the control room shows it. */
const listedMs = 60_000;

const beatersKey = 'beaters';
const beatKey = (id: string) => `beat:${id}`;

/**
 * Writes a heartbeat once a second, and reads those of all processes.
 * @param about adds this process's own fields to each heartbeat.
 * @returns `started` resolves when Redis has the first one, or has lost its connection again.
 * @param onBeats is called with the heartbeats of all living processes; it is not called while Redis is unavailable.
 */
export function openHeartbeat(
  redis: Redis,
  { role, instance }: Pick<Beat, 'role' | 'instance'>,
  about: () => Pick<Beat, 'sockets' | 'watching' | 'heldJobs' | 'oldestJobMs' | 'shards'> = () => ({}),
  onBeats: (beats: Beat[]) => void | Promise<void> = () => {},
): { started: Promise<void>; close: () => Promise<void> } {
  const id = `${role}-${instance}-${hostname()}-${process.pid}`;
  const startedAt = new Date(redisClock.now().getTime() - process.uptime() * 1_000).toISOString();
  const loop = monitorEventLoopDelay({ resolution: lagSampleMs });
  loop.enable();

  async function beat(): Promise<void> {
    const memoryMb = Math.round(process.memoryUsage.rss() / 1_048_576);
    const lateMs = Math.max(0, Math.round(loop.max / 1e6 - lagSampleMs));
    loop.reset();
    const ahead = redisClock.aheadMs();
    const clock = ahead === null ? {} : { clockAheadMs: Math.round(ahead) };
    const own: Beat = {
      id,
      role,
      instance,
      startedAt,
      memoryMb,
      lateMs,
      isSharded: true,
      knowsPhases: true,
      knowsSites: true,
      ...clock,
      ...about(),
    };
    // Redis Cluster may hold the two keys on different nodes.
    const written = await Promise.allSettled([
      redis.set(beatKey(id), JSON.stringify(own), 'PX', silentAfterMs),
      redis.zadd(beatersKey, redisClock.now().getTime(), id),
    ]);
    // One node of a cluster that is away must not stop what others tell.
    if (written.every(({ status }) => status === 'rejected')) throw new Error('Redis is not available');
    const { living } = await readBeats(redis);
    await onBeats(living);
  }
  const timer = setInterval(() => void beat().catch(() => {}), beatEveryMs);
  const isReady =
    redis.status === 'ready' ? Promise.resolve() : new Promise((resolve) => redis.once('ready', resolve));
  const started = isReady.then(beat).catch(() => {});

  return {
    started,
    async close() {
      clearInterval(timer);
      loop.disable();
      // Removed on a normal shutdown, so that the process is not listed as silent.
      await Promise.all([redis.del(beatKey(id)), redis.zrem(beatersKey, id)]).catch(() => {});
    },
  };
}

/** Heartbeats of living processes, and the ids of processes whose heartbeat stopped within the last minute. */
export async function readBeats(redis: Redis): Promise<{ living: Beat[]; silent: string[] }> {
  await redis.zremrangebyscore(beatersKey, 0, redisClock.now().getTime() - listedMs);
  const ids = await redis.zrange(beatersKey, '0', '-1');
  const found = await Promise.all(ids.map((id) => redis.get(beatKey(id))));
  const living = found.flatMap((json) => (json ? [JSON.parse(json) as Beat] : []));
  return { living, silent: ids.filter((_, n) => !found[n]) };
}
