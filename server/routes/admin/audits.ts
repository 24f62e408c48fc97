import type { Redis } from 'ioredis';
import { z } from 'zod';
import { readAuditStatus, requestAudit } from '../../../insight/audit/status.ts';
import type { AuditStatus } from '../../../insight/contract.ts';
import { refuse } from '../../http/problems.ts';
import { type Route, route } from '../../http/route.ts';
import type { Shop } from '../../shop.ts';

/** The audits, which the workers' leader runs: one at a time, with a minimum interval. */
export interface Audits {
  /** The result of the last audit, or that one is running. */
  status(): Promise<AuditStatus>;
  /** @returns false while an audit is running or requested, or when one has just run. */
  start(): Promise<boolean>;
}

export const openAudits = (redis: Redis): Audits => ({
  status: () => readAuditStatus(redis),
  start: () => requestAudit(redis),
});

export const auditRoutes = ({ audits }: Shop): Route[] => [
  route({
    method: 'post',
    path: '/api/admin/audits',
    access: 'admin',
    summary: 'Begin an audit',
    answer: [202, z.object({ state: z.literal('running') })],
    problems: ['busy'],
    async handle() {
      if (await audits.start()) return { status: 202, body: { state: 'running' } };
      return refuse('busy', 'An audit runs, or has run within the last seconds');
    },
  }),
];
