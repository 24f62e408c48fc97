import { Gauge, type Registry } from 'prom-client';
import { withTimeout } from '../with-timeout.ts';

/** Reads the figures of the whole cluster from Redis and MongoDB, which are the same in every process, in parts. */
export interface ClusterFigures {
  backlog: () => Promise<{
    /** Purchases accepted and not yet settled. */
    depth: number;
    /** Age of the oldest unsettled purchase. */
    oldestMs: number;
    deadLetters: number;
  }>;
  /** The consumer lag in events, by subscription. */
  lag: () => Promise<Record<string, number>>;
  /** The stock of the newest open sales. */
  stocks: () => Promise<{ saleId: string; stock: number }[]>;
  /** The breaches that the last audit found, and its time (Unix ms); null when there was no audit. */
  audit: () => Promise<{ breaches: number; atMs: number } | null>;
  /** The number of unsent mails, by state. */
  mails: () => Promise<Record<string, number>>;
  money: () => Promise<{
    /** Orders that are held until they are paid. */
    holds: number;
    /** Payments with a refund that the provider refused for good. */
    failedRefunds: number;
    /** How long the next step of a payment has been due. */
    oldestDueMs: number;
  }>;
}

const patienceMs = 1_000;

/**
 * Gauges of the whole cluster. Every process exports the same values, so that they are available as long as one process
 * runs. Values that cannot be read are removed and `stampede_figures_up` is 0, because old values would mislead.
 * @returns a function that reads the values again, in bounded time.
 */
export function openClusterMetrics(registry: Registry, figures: ClusterFigures): () => Promise<void> {
  const gauge = <Label extends string = never>(name: string, help: string, labelNames: Label[] = []) =>
    new Gauge({ name: `stampede_${name}`, help, labelNames, registers: [registry] });
  const up = gauge('figures_up', '1 when all figures of the cluster could be read from Redis and MongoDB');
  const depth = gauge('queue_purchases', 'Purchases accepted and not yet settled');
  const oldest = gauge('oldest_unsettled_seconds', 'Age of the oldest unsettled purchase');
  const deadLetters = gauge('dead_letters', 'Jobs that failed in every attempt');
  const lag = gauge('consumer_lag_events', 'Events that a subscriber has not handled yet', ['subscriber']);
  const stock = gauge('sale_stock_units', 'Units left, of at most 20 open sales', ['sale']);
  const mails = gauge('unsent_mails', 'Mails that wait, failed, or may have been delivered (unsure)', [
    'state',
  ]);
  const breaches = gauge('invariant_breaches', 'Breaches that the last audit found');
  const auditedAt = gauge('audited_timestamp_seconds', 'When the last audit ended');

  const holds = gauge('holds_open', 'Orders that are held until they are paid, up to 100,000');
  const failedRefunds = gauge('failed_refunds', 'Payments with a refund that the provider refused for good');
  const due = gauge('payment_due_seconds', 'How long the next step of a payment has been due');

  return async () => {
    let isWhole = true;
    async function part<Value>(read: () => Promise<Value>): Promise<Value | null> {
      return await withTimeout(read(), patienceMs).catch(() => {
        isWhole = false;
        return null;
      });
    }
    const [backlog, lags, stocks, audit, unsent, money] = await Promise.all([
      part(figures.backlog),
      part(figures.lag),
      part(figures.stocks),
      part(figures.audit),
      part(figures.mails),
      part(figures.money),
    ]);
    const singles = [depth, oldest, deadLetters, breaches, auditedAt, holds, failedRefunds, due];
    for (const single of singles) single.remove();
    for (const several of [lag, stock, mails]) several.reset();
    up.set(isWhole ? 1 : 0);
    if (backlog) {
      depth.set(backlog.depth);
      oldest.set(backlog.oldestMs / 1_000);
      deadLetters.set(backlog.deadLetters);
    }
    for (const [subscriber, events] of Object.entries(lags ?? {})) lag.set({ subscriber }, events);
    for (const { saleId: sale, stock: units } of stocks ?? []) stock.set({ sale }, units);
    for (const [state, count] of Object.entries(unsent ?? {})) mails.set({ state }, count);
    if (money) {
      holds.set(money.holds);
      failedRefunds.set(money.failedRefunds);
      due.set(money.oldestDueMs / 1_000);
    }
    if (audit) {
      breaches.set(audit.breaches);
      auditedAt.set(audit.atMs / 1_000);
    }
  };
}
