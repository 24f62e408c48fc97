import type { Redis } from 'ioredis';
import type { Connection } from 'mongoose';
import type { Registry } from 'prom-client';
import { type Counters, openCounters } from '../insight/counters.ts';
import type { BusEvent } from '../messages/bus.ts';
import type { Config } from '../runtime/config.ts';
import { type Log, openSampledLog } from '../runtime/observe/log.ts';
import { openMetrics } from '../runtime/observe/metrics.ts';
import { countProxyAnswers } from '../runtime/observe/proxy-answers.ts';
import { openTracing } from '../runtime/observe/tracing.ts';
import type { Reconciled } from '../sale/settlement/reconciliation.ts';
import type { Batch } from '../sale/settlement/transaction.ts';
import type { Shard } from '../sale/shard.ts';
import type { OrderRecord } from '../store/collections.ts';
import { openWorkerMetrics } from './metrics.ts';

/** Numbers of repairs by the reconciler, and by the comparison of gates (`settings` and `gates` count sales). */
export type Repairs = Partial<Reconciled & { settings: number; gates: number }>;

/** Receives each event of a worker once, and passes it on to metrics, the control room's counters, log and traces. */
export interface WorkerObserver {
  registry: Registry;
  /** Called when a transaction has settled purchases. */
  settled(batch: Pick<Batch, 'createdOrders' | 'beganAt'>): void;
  /** Called when orders got another status after they were settled. */
  changed: Counters['changed'];
  /** Called when a payment got another state. */
  payment: Counters['payment'];
  repaired(done: Repairs): void;
  /** Called when events were published to a subscription. */
  published(subscription: string, events: BusEvent[], startedAtMs: number): void;
  /** Sends the remaining counts and spans. */
  close(): Promise<void>;
}

/**
 * @param isLeader whether this worker is the leader.
 * @param shards those that it settles.
 */
export async function openWorkerObserver(
  { config, log, mongo, redis }: { config: Config; log: Log; mongo: Connection; redis: [Redis, ...Redis[]] },
  isLeader: () => boolean,
  shards: () => Shard[],
): Promise<WorkerObserver> {
  const registry = openMetrics({ mongo, redis });
  const counters = openCounters(redis[0]);
  countProxyAnswers(registry, config.PROXY_ANSWERS_DIR, counters.proxyAnswers);
  const metrics = openWorkerMetrics(registry, counters, isLeader, shards);
  const tracing = await openTracing(config, 'worker');
  const logSettled = openSampledLog(log, 'settled', config.LOG_PURCHASES_PER_SECOND);

  return {
    registry,

    settled({ createdOrders, beganAt }) {
      counters.settled(createdOrders);
      metrics.settled(createdOrders);
      for (const record of createdOrders) {
        logSettled(lineOf(record));
        tracing?.record('settle', record.traceparent, beganAt.getTime(), {
          'stampede.order': record._id,
          'stampede.status': record.status,
          'stampede.purchases': createdOrders.length,
        });
      }
    },

    changed: counters.changed,
    payment: counters.payment,

    repaired(done) {
      const { failed = 0, forgotten = [], ...others } = done;
      counters.failed(failed);
      metrics.repaired(done);
      if (forgotten.length > 0) log.error(done, 'accepted purchases lost: no job and no data in Redis');
      else if ([failed, ...Object.values(others)].some((count) => count > 0))
        log.warn(done, 'reconciled purchases or gates');
    },

    published(subscription, events, startedAtMs) {
      if (!tracing) return;
      const attributes = { 'stampede.events': events.length, 'stampede.subscription': subscription };
      for (const traceparent of new Set(events.map((event) => event.traceparent)))
        tracing.record('publish', traceparent, startedAtMs, attributes);
    },

    async close() {
      await counters.close();
      await tracing?.close();
    },
  };
}

function lineOf(record: OrderRecord) {
  const { _id: orderId, saleId, buyerId, status, reason, createdAt, settledAt, traceparent } = record;
  const ms = settledAt.getTime() - createdAt.getTime();
  return { orderId, saleId, buyerId, status, ...(reason && { reason }), ms, traceparent };
}
