import type { Redis } from 'ioredis';
import { redisClock } from '../../runtime/clock.ts';
import type { AuditStatus } from '../contract.ts';
import type { AuditReport } from './audit.ts';

/** The result of the last audit, from the command or the control room, stored in Redis for both and for the alerts. */
const statusKey = 'audit:light';
const keptSeconds = 30 * 86_400;
const examplesKept = 5;

const never: AuditStatus = { state: 'never', at: null, breaches: 0, examples: [], orders: 0 };

/** Exists while an audit runs, and expires when its process dies. */
const runningKey = 'audit:running';
const requestedKey = 'audit:requested';
/** A request that no worker takes up is forgotten. */
const requestedSeconds = 30;
const minIntervalMs = 5_000;

export async function readAuditStatus(redis: Redis): Promise<AuditStatus> {
  // One command for each key, because Redis Cluster may hold them on different nodes.
  const keys = [statusKey, runningKey, requestedKey];
  const [kept = null, running, requested] = await Promise.all(keys.map((key) => redis.get(key)));
  const last = { ...never, ...JSON.parse(kept ?? '{}') };
  return running || requested ? { ...last, state: 'running' } : last;
}

/** Asks the workers' leader for an audit. @returns false while one runs or is requested, or when one has just run. */
export async function requestAudit(redis: Redis): Promise<boolean> {
  const { state, at } = await readAuditStatus(redis);
  const isFresh = at !== null && redisClock.now().getTime() - Date.parse(at) < minIntervalMs;
  if (state === 'running' || isFresh) return false;
  return (await redis.set(requestedKey, '1', 'EX', requestedSeconds, 'NX')) === 'OK';
}

/** @returns whether an audit is requested. */
export const isAuditRequested = async (redis: Redis) => (await redis.exists(requestedKey)) === 1;

/** Says for so many ms that an audit runs; 0 when it has ended. */
export async function markAuditRunning(redis: Redis, ms: number): Promise<void> {
  if (ms === 0) await redis.del(runningKey);
  else {
    await redis.set(runningKey, '1', 'PX', ms);
    await redis.del(requestedKey);
  }
}

export async function saveAuditStatus(redis: Redis, status: AuditStatus): Promise<void> {
  await redis.set(statusKey, JSON.stringify(status), 'EX', keptSeconds);
}

export function statusOfReport({ ok, orders, ...report }: AuditReport): AuditStatus {
  const findings = Object.entries({
    I1: report.I1,
    I2: report.I2,
    I3: report.I3,
    I4: report.I4,
    I5: report.I5,
    I7: report.I7,
    I8: report.I8,
    'staff log': findingOf(report.staffLog),
  });
  const breaches = findings.reduce((sum, [, finding]) => sum + finding.breaches, 0);
  const examples = findings.flatMap(([name, finding]) =>
    finding.examples.map((example) => `${name}: ${example}`),
  );
  const at = redisClock.now().toISOString();
  const { ordersReadAt, closedReadAt } = report;
  const state = ok ? 'ok' : 'breached';
  const kept = examples.slice(0, examplesKept);
  return { state, at, breaches, orders, examples: kept, ordersReadAt, closedReadAt };
}

function findingOf({ broken }: AuditReport['staffLog']) {
  if (broken === null) return { breaches: 0, examples: [] };
  return { breaches: 1, examples: [`entry ${broken} does not follow from the one before it`] };
}

/** The status of an audit that failed to run; it makes no statement about the invariants. */
export function statusOfFailure(why: string, orders = 0): AuditStatus {
  return { ...never, state: 'failed', at: redisClock.now().toISOString(), orders, examples: [why] };
}
