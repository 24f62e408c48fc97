import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import { secondsBuckets, sizeBuckets } from '../runtime/observe/metrics.ts';
import type { Reconciled } from '../sale/settlement/reconciliation.ts';
import type { OrderRecord } from '../store/collections.ts';
import type { GateRepairCounts } from './gate-repair.ts';

/**
 * What a worker counts of its own.
 * @param leads whether it is the one that leads.
 */
export function openWorkerMetrics(registry: Registry, leads: () => boolean) {
  const registers = [registry];
  new Gauge({
    name: 'stampede_leads',
    help: '1 in the worker that leads: it settles, reconciles and relays events; 0 in those that stand by',
    registers,
    collect() {
      this.set(leads() ? 1 : 0);
    },
  });
  const orders = new Counter({
    name: 'stampede_orders_total',
    help: 'Accepted purchases by how they ended; failed: given up after every attempt',
    labelNames: ['status'],
    registers,
  });
  for (const status of ['paid', 'rejected', 'failed']) orders.inc({ status }, 0);
  const settleSeconds = new Histogram({
    name: 'stampede_settle_seconds',
    help: 'From accepted to committed',
    buckets: secondsBuckets,
    registers,
  });
  const batchSize = new Histogram({
    name: 'stampede_settle_batch_purchases',
    help: 'Orders that one transaction made',
    buckets: sizeBuckets,
    registers,
  });
  const repairs = new Counter({
    name: 'stampede_repairs_total',
    help: 'What the reconciler put right; forgotten: accepted purchases that nobody remembers',
    labelNames: ['what'],
    registers,
  });
  for (const what of ['ended', 'requeued', 'forgotten', 'gates', 'settings']) repairs.inc({ what }, 0);

  return {
    noteSettled(made: OrderRecord[]): void {
      batchSize.observe(made.length);
      const paid = made.filter(({ status }) => status === 'paid').length;
      orders.inc({ status: 'paid' }, paid);
      orders.inc({ status: 'rejected' }, made.length - paid);
      for (const { createdAt, settledAt } of made) {
        settleSeconds.observe((settledAt.getTime() - createdAt.getTime()) / 1_000);
      }
    },

    noteRepairs({ givenUp, ended, requeued, forgotten }: Reconciled): void {
      orders.inc({ status: 'failed' }, givenUp);
      repairs.inc({ what: 'ended' }, ended);
      repairs.inc({ what: 'requeued' }, requeued);
      repairs.inc({ what: 'forgotten' }, forgotten.length);
    },

    noteGateRepairs(done: GateRepairCounts): void {
      for (const [what, count] of Object.entries(done)) repairs.inc({ what }, count);
    },
  };
}
