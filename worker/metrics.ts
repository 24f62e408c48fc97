import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import { type Counters, exposeOutcomes } from '../insight/counters.ts';
import { secondsBuckets, sizeBuckets } from '../runtime/observe/metrics.ts';
import type { Shard } from '../sale/shard.ts';
import type { OrderRecord } from '../store/collections.ts';
import type { Repairs } from './observer.ts';

/**
 * The metrics of one worker.
 * @param isLeader whether this worker is the leader.
 * @param shards those that it settles.
 */
export function openWorkerMetrics(
  registry: Registry,
  counters: Pick<Counters, 'totals'>,
  isLeader: () => boolean,
  shards: () => Shard[],
) {
  const registers = [registry];
  new Gauge({
    name: 'stampede_leads',
    help: '1 in the leader, the worker that reconciles and relays events; 0 in the others',
    registers,
    collect() {
      this.set(isLeader() ? 1 : 0);
    },
  });
  new Gauge({
    name: 'stampede_shards',
    help: '1 for each shard of sales that this worker settles; -1 is the queue of the previous version',
    labelNames: ['shard'],
    registers,
    collect() {
      this.reset();
      for (const shard of shards()) this.set({ shard }, 1);
    },
  });
  exposeOutcomes(registry, counters);
  const settleSeconds = new Histogram({
    name: 'stampede_settle_seconds',
    help: 'Time from the acceptance of a purchase to the commit of its order',
    buckets: secondsBuckets,
    registers,
  });
  const batchSize = new Histogram({
    name: 'stampede_settle_batch_purchases',
    help: 'Orders that one transaction created',
    buckets: sizeBuckets,
    registers,
  });
  const repairs = new Counter({
    name: 'stampede_repairs_total',
    help: 'Repairs of the reconciler; forgotten: accepted purchases that neither Redis nor MongoDB holds',
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
