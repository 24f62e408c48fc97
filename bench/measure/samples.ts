import { type Counts, quantileMs, readSeconds } from '../../insight/counters.ts';
import type { Testbed } from '../systems/testbed.ts';
import { watchDatabaseLatency } from './database-usage.ts';
import { measureCpu, memoryAndHandlesOfGroup } from './process-usage.ts';

/** The state of the system at one moment of a run. */
export interface Sample {
  seconds: number;
  /** Accepted and not yet settled. */
  queued: number;
  redisKeys: number;
  redisMemoryMb: number;
  /** Mean duration of Redis' scripts and MongoDB's transactions since the last sample; null when there were none. */
  redisScriptMs: number | null;
  mongoTransactionMs: number | null;
  /** By process: share of one core since the last sample, resident memory, open files and sockets. */
  processes: Record<string, { cpu: number; memoryMb: number; handles: number }>;
}

/** The counts of all instances in one second. */
export interface Second {
  seconds: number;
  acceptedPerSecond: number;
  settledPerSecond: number;
  /** From the press to the order in MongoDB, for the orders settled in that second; null when there were none. */
  settleP50Ms: number | null;
  settleP99Ms: number | null;
}

/** Samples the system until `stop` is called, which takes the last sample. */
export function watchOverTime(
  testbed: Testbed,
  everyMs: number,
): {
  stop: () => Promise<{ samples: Sample[]; perSecond: Second[] }>;
} {
  const samples: Sample[] = [];
  const [startedAt, firstSecond] = [performance.now(), nowInSeconds()];
  const waitsSince = watchDatabaseLatency(testbed.system);
  let [cpuSince, lastAt] = [measureCpu(testbed.processes), startedAt];
  let sampling = Promise.resolve();

  async function sample(): Promise<void> {
    const now = performance.now();
    const cpu = cpuSince();
    const seconds = (now - lastAt) / 1_000;
    cpuSince = measureCpu(testbed.processes);
    lastAt = now;
    const { gate, redis } = testbed.system;
    const [queued, redisKeys, memory, waits] = await Promise.all([
      gate.countQueued(),
      redis.dbsize(),
      redis.info('memory'),
      waitsSince(),
    ]);
    const processes = testbed.processes().map(({ name, pid }) => {
      return [name, { cpu: (cpu[name] ?? 0) / seconds, ...memoryAndHandlesOfGroup(pid) }] as const;
    });
    const redisMemoryMb = Number(/^used_memory:(\d+)/m.exec(memory)?.[1]) / 2 ** 20;
    const at = (now - startedAt) / 1_000;
    const sizes = { queued, redisKeys, redisMemoryMb };
    samples.push({ seconds: at, ...sizes, ...waits, processes: Object.fromEntries(processes) });
  }
  const next = () => {
    sampling = sampling.then(sample);
  };
  const timer = setInterval(next, everyMs);
  return {
    async stop() {
      clearInterval(timer);
      next();
      await sampling;
      const counted = await readSeconds(testbed.system.redis, firstSecond, nowInSeconds());
      return { samples, perSecond: counted.map(secondOf) };
    },
  };
}

const nowInSeconds = () => Math.floor(Date.now() / 1_000);

const secondOf = (counts: Counts, seconds: number): Second => ({
  seconds,
  acceptedPerSecond: counts.admitted ?? 0,
  settledPerSecond: (counts.paid ?? 0) + (counts.rejected ?? 0),
  settleP50Ms: quantileMs(counts, 0.5),
  settleP99Ms: quantileMs(counts, 0.99),
});
