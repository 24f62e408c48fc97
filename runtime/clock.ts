import type { Redis } from 'ioredis';
import type { Connection } from 'mongoose';
import { Gauge, type Registry } from 'prom-client';
import type { Log } from './observe/log.ts';

/**
 * A database's clock, shared by all processes whose own clocks may differ. It is read once a second; in between, and while
 * the database is unavailable, this process's monotonic clock continues it. Before the first read it is the local clock.
 */
export interface SharedClock {
  now(): Date;
  /** How far the local clock is ahead of the database's, in ms; null before the first read. */
  aheadMs(): number | null;
  /** Reads the database's clock with `ask` once a second until it is closed. */
  follow(ask: () => Promise<number>, log: Log): { close: () => void };
}

/** One reading: the database's time minus this process's monotonic clock, and the largest possible error. */
interface Sample {
  offsetMs: number;
  uncertainMs: number;
}

const askEveryMs = 1_000;
/** The most precise of this many readings is used, because a busy process receives answers late. */
const samplesKept = 10;
/** Clocks drift much less than this between two readings; a larger difference means that a clock was set. */
const driftMaxMs = 50;
const skewLoggedMs = 1_000;

/** @param name of the database, for the log. */
export function openSharedClock(name: string): SharedClock {
  let samples: Sample[] = [];
  let offsetMs: number | null = null;
  let isSkewed = false;

  function take(sample: Sample): void {
    const wasSet = samples.some((other) => {
      const apart = Math.abs(sample.offsetMs - other.offsetMs);
      return apart > sample.uncertainMs + other.uncertainMs + driftMaxMs;
    });
    samples = [...(wasSet ? [] : samples), sample].slice(-samplesKept);
    offsetMs = samples.reduce((best, other) =>
      other.uncertainMs < best.uncertainMs ? other : best,
    ).offsetMs;
  }

  const now = () => new Date(offsetMs === null ? Date.now() : performance.now() + offsetMs);
  const aheadMs = () => (offsetMs === null ? null : Date.now() - now().getTime());

  return {
    now,
    aheadMs,
    follow(ask, log) {
      async function sample(): Promise<void> {
        const askedAt = performance.now();
        const answer = await ask();
        const uncertainMs = (performance.now() - askedAt) / 2;
        take({ offsetMs: answer - askedAt - uncertainMs, uncertainMs });
        const ahead = aheadMs() ?? 0;
        if (Math.abs(ahead) > skewLoggedMs === isSkewed) return;
        isSkewed = !isSkewed;
        if (isSkewed)
          log.warn({ aheadMs: Math.round(ahead) }, `clock skew: the local clock differs from ${name}'s`);
        else log.info(`clock skew is over: the local clock agrees with ${name}'s again`);
      }
      let isAsking = false;
      async function tick(): Promise<void> {
        if (isAsking) return;
        isAsking = true;
        // A failed read is ignored: the monotonic clock continues the last reading.
        await sample().catch(() => {});
        isAsking = false;
      }
      void tick();
      const timer = setInterval(() => void tick(), askEveryMs);
      return { close: () => clearInterval(timer) };
    },
  };
}

/** The clock that decides when a sale opens and ends, for the gate and for every page. */
export const redisClock = openSharedClock('Redis');
/** The clock for timestamps in MongoDB's documents. */
export const mongoClock = openSharedClock('MongoDB');

/** Keeps both clocks synchronised, and exports the local clock's skew as a metric. */
export function followClocks(
  { redis, mongo, registry }: { redis: Redis; mongo: Connection; registry: Registry },
  log: Log,
): { close: () => void } {
  new Gauge({
    name: 'stampede_clock_ahead_seconds',
    help: "How far this machine's clock is ahead of the database's, which decides; negative when it is behind",
    labelNames: ['of'],
    registers: [registry],
    collect() {
      for (const [of, clock] of [['redis', redisClock] as const, ['mongodb', mongoClock] as const]) {
        const ms = clock.aheadMs();
        if (ms !== null) this.set({ of }, ms / 1_000);
      }
    },
  });
  const followed = [
    redisClock.follow(async () => {
      // By a script with a key, so that Redis Cluster's answer comes from the same node each time.
      const time = redis.isCluster ? redis.eval("return redis.call('TIME')", 1, 'clock') : redis.time();
      const [seconds, micros] = (await time) as [string, string];
      return Number(seconds) * 1_000 + Number(micros) / 1_000;
    }, log),
    mongoClock.follow(async () => {
      const { localTime } = (await mongo.db?.admin().command({ hello: 1 })) ?? {};
      if (!(localTime instanceof Date)) throw new Error("MongoDB's answer to hello has no localTime");
      return localTime.getTime();
    }, log),
  ];
  return {
    close() {
      for (const one of followed) one.close();
    },
  };
}
