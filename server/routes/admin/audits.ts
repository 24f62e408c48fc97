import type { Redis } from 'ioredis';
import { z } from 'zod';
import { audit } from '../../../insight/audit.ts';
import {
  readAuditStatus,
  saveAuditStatus,
  statusOfFailure,
  statusOfReport,
} from '../../../insight/audit-status.ts';
import type { AuditStatus } from '../../../insight/contract.ts';
import { redisClock } from '../../../runtime/clock.ts';
import { openLease } from '../../../runtime/leader/lease.ts';
import type { Log } from '../../../runtime/observe/log.ts';
import type { Gate } from '../../../sale/admission/gate.ts';
import type { PurchaseQueue } from '../../../sale/queue/queue.ts';
import type { Collections } from '../../../store/collections.ts';
import { refuse } from '../../http/problems.ts';
import { type Route, route } from '../../http/route.ts';
import type { Shop } from '../../shop.ts';

/** The control room's audits: one at a time over all instances, with a minimum interval and a maximum number of orders. */
export interface Audits {
  /** The result of the last audit, or that one is running. */
  status(): Promise<AuditStatus>;
  /** @returns false while an audit is running, or when one has just run. */
  start(): Promise<boolean>;
}

const leaseMs = 120_000;
const minIntervalMs = 5_000;
/** With more orders than this, only `npm run audit` audits them, because reading every order would slow the server down. */
const maxOrders = 300_000;

export function openAudits(
  shop: { collections: Collections; gate: Gate; queue: PurchaseQueue; redis: Redis },
  log: Log,
): Audits {
  const { collections, gate, queue, redis } = shop;
  const lease = openLease(redis, 'audit', leaseMs);
  let isRunning = false;

  async function run(): Promise<void> {
    const status = await runAudit().catch((error) => {
      log.error(error, 'the audit failed');
      return statusOfFailure((error as Error).message);
    });
    await saveAuditStatus(redis, status);
  }

  async function runAudit(): Promise<AuditStatus> {
    const orders = await collections.orders.estimatedDocumentCount();
    if (orders > maxOrders) {
      return statusOfFailure(`More than ${maxOrders} orders: run \`npm run audit\` beside the shop`, orders);
    }
    return statusOfReport(await audit(collections, gate, queue));
  }

  /** Takes the lease if an audit may begin. An audit stores its result before it releases the lease, so it is read here. */
  async function begin(): Promise<boolean> {
    if (!(await lease.hold())) return false;
    const { at } = await readAuditStatus(redis);
    const isFresh = at !== null && redisClock.now().getTime() - Date.parse(at) < minIntervalMs;
    if (isFresh) await lease.release();
    return !isFresh;
  }

  return {
    async status() {
      const [last, running] = await Promise.all([readAuditStatus(redis), redis.exists('lease:audit')]);
      return running ? { ...last, state: 'running' } : last;
    },
    async start() {
      // Set before the first await, because the lease excludes other processes, but not a second request to this one.
      if (isRunning) return false;
      isRunning = true;
      const isBegun = await begin().catch((error) => {
        isRunning = false;
        throw error;
      });
      if (!isBegun) {
        isRunning = false;
        return false;
      }
      const renewal = setInterval(() => void lease.hold().catch(() => {}), leaseMs / 3);
      void run()
        .catch((error) => log.warn({ error: (error as Error).message }, 'the audit was not noted'))
        .finally(() => {
          clearInterval(renewal);
          isRunning = false;
          void lease.release().catch(() => {});
        });
      return true;
    },
  };
}

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
