import type { Stage } from './stage.ts';
import { holdingsOfGroup, watchCpu } from './usage.ts';

/** What the system looked like at one moment of a run. */
export interface Sample {
  seconds: number;
  /** Accepted and not yet settled. */
  queued: number;
  redisKeys: number;
  redisMemoryMb: number;
  /** By process: share of one core since the sample before, resident memory, open files and sockets. */
  processes: Record<string, { cpu: number; memoryMb: number; handles: number }>;
}

/** Samples the system until it is told to stop, and once more then. */
export function watchOverTime(stage: Stage, everyMs: number): { stop: () => Promise<Sample[]> } {
  const samples: Sample[] = [];
  const startedAt = performance.now();
  let [cpuSince, lastAt] = [watchCpu(stage.processes), startedAt];
  let sampling = Promise.resolve();

  async function sample(): Promise<void> {
    const now = performance.now();
    const cpu = cpuSince();
    const seconds = (now - lastAt) / 1_000;
    cpuSince = watchCpu(stage.processes);
    lastAt = now;
    const { gate, redis } = stage.system;
    const [queued, redisKeys, memory] = await Promise.all([
      gate.countQueued(),
      redis.dbsize(),
      redis.info('memory'),
    ]);
    const processes = stage.processes().map(({ name, pid }) => {
      return [name, { cpu: (cpu[name] ?? 0) / seconds, ...holdingsOfGroup(pid) }] as const;
    });
    const redisMemoryMb = Number(/^used_memory:(\d+)/m.exec(memory)?.[1]) / 2 ** 20;
    const at = (now - startedAt) / 1_000;
    samples.push({ seconds: at, queued, redisKeys, redisMemoryMb, processes: Object.fromEntries(processes) });
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
      return samples;
    },
  };
}
