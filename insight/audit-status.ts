import type { Redis } from 'ioredis';
import { redisClock } from '../runtime/clock.ts';
import type { AuditReport } from './audit.ts';
import type { AuditStatus } from './contract.ts';

/** The result of the last audit, from the command or the control room, stored in Redis for both and for the alerts. */
const statusKey = 'audit:light';
const keptSeconds = 30 * 86_400;
const examplesKept = 5;

const never: AuditStatus = { state: 'never', at: null, breaches: 0, examples: [], orders: 0 };

export async function readAuditStatus(redis: Redis): Promise<AuditStatus> {
  const kept = await redis.get(statusKey);
  return kept ? { ...never, ...JSON.parse(kept) } : never;
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
  return { state: ok ? 'ok' : 'breached', at, breaches, orders, examples: examples.slice(0, examplesKept) };
}

function findingOf({ broken }: AuditReport['staffLog']) {
  if (broken === null) return { breaches: 0, examples: [] };
  return { breaches: 1, examples: [`entry ${broken} does not follow from the one before it`] };
}

/** The status of an audit that failed to run; it makes no statement about the invariants. */
export function statusOfFailure(why: string, orders = 0): AuditStatus {
  return { ...never, state: 'failed', at: redisClock.now().toISOString(), orders, examples: [why] };
}
