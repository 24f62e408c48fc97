import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { Counters } from '../insight/counters.ts';
import { exposeCounts, secondsBuckets, sizeBuckets } from '../runtime/observe/metrics.ts';
import type { OrderRecord } from '../store/collections.ts';
import type { Repairs } from './observer.ts';

/**
 * What a worker counts of its own.
 * @param leads whether it is the one that leads.
 */
export function openWorkerMetrics(
  registry: Registry,
  { totals }: Pick<Counters, 'totals'>,
  leads: () => boolean,
) {
  const registers = [registry];
  new Gauge({
    name: 'stampede_leads',
    help: '1 in the worker that leads: it settles, reconciles and relays events; 0 in those that stand by',
    registers,
    collect() {
      this.set(leads() ? 1 : 0);
    },
  });
  exposeCounts(
    registry,
    {
      name: 'stampede_orders_total',
      help: 'Accepted purchases by how they ended; failed: given up after every attempt',
      label: 'status',
    },
    () => totals.orders,
  );
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
    settled(createdOrders: OrderRecord[]): void {
      batchSize.observe(createdOrders.length);
      for (const { createdAt, settledAt } of createdOrders) {
        settleSeconds.observe((settledAt.getTime() - createdAt.getTime()) / 1_000);
      }
    },

    repaired({ ended = 0, requeued = 0, forgotten = [], gates = 0, settings = 0 }: Repairs): void {
      const done = { ended, requeued, forgotten: forgotten.length, gates, settings };
      for (const [what, count] of Object.entries(done)) repairs.inc({ what }, count);
    },
  };
}
