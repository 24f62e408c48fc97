import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Redis } from 'ioredis';
import {
  isAuditRequested,
  markAuditRunning,
  readAuditStatus,
  saveAuditStatus,
  statusOfFailure,
} from '../insight/audit-status.ts';
import { bundleOf } from '../ops/local/bundle.mjs';
import { redisClock } from '../runtime/clock.ts';
import type { Config } from '../runtime/config.ts';
import type { LeaderTask } from '../runtime/leader/leader.ts';
import type { Log } from '../runtime/observe/log.ts';
import { pause } from '../runtime/pause.ts';

const lookEveryMs = 1_000;
/** A leader audits soon after it has begun, when the last audit is old. */
const firstAfterMs = 30_000;
const runningMs = 10_000;
/** Enough for the largest part of a sale that an audit holds in memory at once: see insight/audit-sale.ts. */
const memoryMb = 448;

/**
 * Runs `npm run audit` regularly and on request, in a process of its own with a bound of time and memory, so that neither
 * servers nor workers wait for it.
 */
export function auditRegularly(redis: Redis, config: Config, log: Log): LeaderTask {
  async function audit(stopping: AbortSignal): Promise<void> {
    await markAuditRunning(redis, runningMs);
    const renewal = setInterval(() => void markAuditRunning(redis, runningMs).catch(() => {}), runningMs / 3);
    try {
      const why = await runAudit(config, stopping);
      if (why === null || stopping.aborted) return;
      log.error({ error: why }, 'the audit failed');
      await saveAuditStatus(redis, statusOfFailure(why));
    } finally {
      clearInterval(renewal);
      await markAuditRunning(redis, 0).catch(() => {});
    }
  }

  return async (stopping) => {
    const beganAt = performance.now();
    for (; !stopping.aborted; await pause(lookEveryMs, stopping)) {
      const { at } = await readAuditStatus(redis);
      const ageMs = at === null ? Number.POSITIVE_INFINITY : redisClock.now().getTime() - Date.parse(at);
      const firstMs = Math.min(firstAfterMs, config.AUDIT_INTERVAL_MS);
      const isDue = ageMs >= config.AUDIT_INTERVAL_MS && performance.now() >= beganAt + firstMs;
      if (isDue || (await isAuditRequested(redis))) await audit(stopping);
    }
  };
}

const command = 'commands/audit.ts';

/** @returns why it came to no result, or null; it stores the result itself. */
async function runAudit(config: Config, stopping: AbortSignal): Promise<string | null> {
  const bundle = await bundleOf(command);
  const source = fileURLToPath(new URL(`../${command}`, import.meta.url));
  const script = bundle ? [bundle] : ['--import', import.meta.resolve('tsx'), source];
  return await new Promise((resolve) => {
    execFile(
      process.execPath,
      [`--max-old-space-size=${memoryMb}`, ...script, '--without-provider'],
      {
        env: { ...process.env, MONGO_URL: config.MONGO_URL, REDIS_URL: config.REDIS_URL },
        timeout: config.AUDIT_DEADLINE_MS,
        killSignal: 'SIGKILL',
        signal: stopping,
        maxBuffer: 1_048_576,
      },
      (error, stdout, stderr) => {
        // With a breach it fails as well, and has said so.
        if (!error || stdout.trim()) return resolve(null);
        const lines = stderr.trim().split('\n');
        const fault = lines.find((line) => /heap out of memory/.test(line)) ?? lines.at(-1);
        if (error.signal === 'SIGKILL') return resolve(`it took longer than ${config.AUDIT_DEADLINE_MS} ms`);
        resolve(fault?.slice(0, 200) || error.message);
      },
    );
  });
}
