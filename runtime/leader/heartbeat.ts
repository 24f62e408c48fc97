import { hostname } from 'node:os';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Redis } from 'ioredis';
import { redisClock } from '../clock.ts';
import { lagSampleMs } from '../observe/metrics.ts';

/** What a process says of itself once a second. */
export interface Beat {
  /** Unlike any other process's, even where several go by one name. */
  id: string;
  role: 'server' | 'worker';
  instance: string;
  startedAt: string;
  memoryMb: number;
  /** How late its event loop was at worst in the last second. */
  lateMs: number;
  /** How far its machine's clock is ahead of Redis'; absent until it asked. */
  clockAheadMs?: number;
  /** Jobs that a worker has in hand, and when (ms) the oldest of them came, where the queue cannot tell. */
  heldJobs?: number;
  oldestJobMs?: number;
  /** Sockets it holds; a worker holds none. */
  sockets?: number;
  /** How many of them watch each sale. */
  watching?: Record<string, number>;
}

const beatEveryMs = 1_000;
/** A process that is silent for so long is not alive. Redis forgets its beat, so no clocks are compared. */
const silentAfterMs = 4_000;
/** For so long a silent process is still listed, so that its death is seen. */
const listedMs = 60_000;

const beatersKey = 'beaters';
const beatKey = (id: string) => `beat:${id}`;

/**
 * Beats once a second, and hears who else does.
 * @param about what this process has to add, at each beat.
 * @param onBeats is told what all the living say; of none when Redis does not answer.
 */
export function openHeartbeat(
  redis: Redis,
  { role, instance }: Pick<Beat, 'role' | 'instance'>,
  about: () => Pick<Beat, 'sockets' | 'watching' | 'heldJobs' | 'oldestJobMs'> = () => ({}),
  onBeats: (beats: Beat[]) => void | Promise<void> = () => {},
): { close: () => Promise<void> } {
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
    const own: Beat = { id, role, instance, startedAt, memoryMb, lateMs, ...clock, ...about() };
    await redis
      .pipeline()
      .set(beatKey(id), JSON.stringify(own), 'PX', silentAfterMs)
      .zadd(beatersKey, redisClock.now().getTime(), id)
      .exec();
    const { living } = await readBeats(redis);
    await onBeats(living);
  }
  const timer = setInterval(() => void beat().catch(() => {}), beatEveryMs);
  void beat().catch(() => {});

  return {
    async close() {
      clearInterval(timer);
      loop.disable();
      // Whoever stops on purpose is not listed as silent.
      await redis
        .pipeline()
        .del(beatKey(id))
        .zrem(beatersKey, id)
        .exec()
        .catch(() => {});
    },
  };
}

/** Who is alive, and the ids of those who fell silent within the last minute. */
export async function readBeats(redis: Redis): Promise<{ living: Beat[]; silent: string[] }> {
  await redis.zremrangebyscore(beatersKey, 0, redisClock.now().getTime() - listedMs);
  const ids = await redis.zrange(beatersKey, '0', '-1');
  const found = ids.length > 0 ? await redis.mget(ids.map((id) => beatKey(id))) : [];
  const living = found.flatMap((json) => (json ? [JSON.parse(json) as Beat] : []));
  return { living, silent: ids.filter((_, n) => !found[n]) };
}
