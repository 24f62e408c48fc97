import { Gauge, type Registry } from 'prom-client';
import { withTimeout } from '../with-timeout.ts';

/** Figures of the whole cluster from Redis and MongoDB, which are the same in every process. */
export interface ClusterReading {
  /** Purchases accepted and not yet settled. */
  depth: number;
  /** Age of the oldest unsettled purchase. */
  oldestMs: number;
  deadLetters: number;
  /** The consumer lag in events, by subscription. */
  lag: Record<string, number>;
  /** The stock of the newest open sales. */
  stocks: { saleId: string; stock: number }[];
  /** The breaches that the last audit found, and its time (Unix ms); null when there was no audit. */
  audit: { breaches: number; atMs: number } | null;
  /** The number of unsent mails, by state. */
  mails: Record<string, number>;
  /** Orders that are held until they are paid. */
  holds: number;
  /** Payments with a refund that the provider refused for good. */
  failedRefunds: number;
  /** How long the next step of a payment has been due. */
  oldestDueMs: number;
}

const patienceMs = 1_000;

/**
 * Gauges of the whole cluster. Every process exports the same values, so that they are available as long as one process
 * runs. When the values cannot be read, they are removed and `stampede_figures_up` is 0, because old values would mislead.
 * @returns a function that reads the values again, in bounded time.
 */
export function openClusterMetrics(
  registry: Registry,
  read: () => Promise<ClusterReading>,
): () => Promise<void> {
  const gauge = <Label extends string = never>(name: string, help: string, labelNames: Label[] = []) =>
    new Gauge({ name: `stampede_${name}`, help, labelNames, registers: [registry] });
  const up = gauge('figures_up', '1 when the figures of the cluster could be read from Redis and MongoDB');
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
    const reading = await withTimeout(read(), patienceMs).catch(() => null);
    const singles = [depth, oldest, deadLetters, breaches, auditedAt, holds, failedRefunds, due];
    for (const single of singles) single.remove();
    for (const several of [lag, stock, mails]) several.reset();
    up.set(reading ? 1 : 0);
    if (!reading) return;
    depth.set(reading.depth);
    oldest.set(reading.oldestMs / 1_000);
    deadLetters.set(reading.deadLetters);
    for (const [subscriber, events] of Object.entries(reading.lag)) lag.set({ subscriber }, events);
    for (const { saleId: sale, stock: units } of reading.stocks) stock.set({ sale }, units);
    for (const [state, count] of Object.entries(reading.mails)) mails.set({ state }, count);
    holds.set(reading.holds);
    failedRefunds.set(reading.failedRefunds);
    due.set(reading.oldestDueMs / 1_000);
    if (!reading.audit) return;
    breaches.set(reading.audit.breaches);
    auditedAt.set(reading.audit.atMs / 1_000);
  };
}
