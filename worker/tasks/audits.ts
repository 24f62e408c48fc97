import type { Redis } from 'ioredis';
import {
  isAuditRequested,
  markAuditRunning,
  readAuditStatus,
  saveAuditStatus,
  statusOfFailure,
} from '../../insight/audit/status.ts';
import { redisClock } from '../../runtime/clock.ts';
import type { Config } from '../../runtime/config.ts';
import type { LeaderTask } from '../../runtime/leader/leader.ts';
import type { Log } from '../../runtime/observe/log.ts';
import { pause } from '../../runtime/pause.ts';
import { runCommandProcess } from '../command-process.ts';

const lookEveryMs = 1_000;
/** A leader audits soon after it has begun, when the last audit is old. */
const firstAfterMs = 30_000;
const runningMs = 10_000;
/** Enough for the largest part of a sale that an audit holds in memory at once: see insight/audit/sale.ts. */
const memoryMb = 448;

/** Runs `npm run audit` regularly and on request, in a process of its own. */
export function auditRegularly(redis: Redis, config: Config, log: Log): LeaderTask {
  async function audit(stopping: AbortSignal): Promise<void> {
    await markAuditRunning(redis, runningMs);
    const renewal = setInterval(() => void markAuditRunning(redis, runningMs).catch(() => {}), runningMs / 3);
    try {
      const args = ['--without-provider'];
      const { AUDIT_DEADLINE_MS: deadlineMs } = config;
      // It stores its result itself.
      const why = await runCommandProcess('audit.ts', config, { args, memoryMb, deadlineMs, stopping });
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
