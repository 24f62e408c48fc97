import type { Redis } from 'ioredis';
import type { Connection } from 'mongoose';
import { Gauge, type Registry } from 'prom-client';
import type { Log } from './observe/log.ts';

/**
 * A clock of a database, which all processes share however far their own are apart: it is asked once a second, and
 * carried on by this process's monotonic clock in between and while the database is away. Until it was asked for the first
 * time it is this process's own.
 */
export interface SharedClock {
  now(): Date;
  /** How far this process's own clock is ahead of it, in ms; null until it was asked. */
  aheadMs(): number | null;
  /** Asks once a second until it is closed. */
  follow(ask: () => Promise<number>, log: Log): { close: () => void };
}

/** One answer: what the clock said, against this process's monotonic clock, and how wrong that can be. */
interface Sample {
  offsetMs: number;
  uncertainMs: number;
}

const askEveryMs = 1_000;
/** The most exact answer of so many counts: a busy process hears of others late. */
const samplesKept = 10;
/** Clocks drift by much less between two samples; what differs by more was set to another time. */
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
        if (isSkewed) log.warn({ aheadMs: Math.round(ahead) }, `this machine's clock differs from ${name}'s`);
        else log.info(`this machine's clock agrees with ${name}'s again`);
      }
      let isAsking = false;
      async function tick(): Promise<void> {
        if (isAsking) return;
        isAsking = true;
        // A database that is away says nothing about its clock.
        await sample().catch(() => {});
        isAsking = false;
      }
      void tick();
      const timer = setInterval(() => void tick(), askEveryMs);
      return { close: () => clearInterval(timer) };
    },
  };
}

/** Decides when a sale opens and ends, for the gate and for every page. */
export const redisClock = openSharedClock('Redis');
/** Stamps what is written into MongoDB. */
export const mongoClock = openSharedClock('MongoDB');

/** Follows both clocks, and shows how far this machine's own is from them. */
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
      const [seconds, micros] = await redis.time();
      return Number(seconds) * 1_000 + Number(micros) / 1_000;
    }, log),
    mongoClock.follow(async () => {
      const { localTime } = (await mongo.db?.admin().command({ hello: 1 })) ?? {};
      if (!(localTime instanceof Date)) throw new Error('MongoDB does not say what time it is');
      return localTime.getTime();
    }, log),
  ];
  return {
    close() {
      for (const one of followed) one.close();
    },
  };
}
