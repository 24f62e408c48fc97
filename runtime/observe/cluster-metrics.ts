import { Gauge, type Registry } from 'prom-client';
import { withTimeout } from '../with-timeout.ts';

/** What the databases say of the whole cluster, whichever process asks them. */
export interface ClusterReading {
  /** Purchases accepted and not yet settled. */
  depth: number;
  /** How long the oldest of them has been waiting. */
  oldestMs: number;
  deadLetters: number;
  /** Events that wait for each subscriber. */
  lag: Record<string, number>;
  /** Of the newest sales that are open. */
  stocks: { saleId: string; stock: number }[];
  /** What the last audit found, and when (Unix ms); null when there was none. */
  audit: { breaches: number; atMs: number } | null;
  /** Mails that were not sent so far, by state. */
  mails: Record<string, number>;
}

const patienceMs = 1_000;

/**
 * Gauges of the whole cluster: each process tells the same truth, so that it is there as long as one of them lives.
 * A figure that cannot be read is left out, and `stampede_figures_up` says so: an old one would pass for the truth.
 * @returns reads them anew, in bounded time.
 */
export function openClusterMetrics(
  registry: Registry,
  read: () => Promise<ClusterReading>,
): () => Promise<void> {
  const gauge = <Label extends string = never>(name: string, help: string, labelNames: Label[] = []) =>
    new Gauge({ name: `stampede_${name}`, help, labelNames, registers: [registry] });
  const up = gauge('figures_up', 'Whether Redis and MongoDB could be asked for the figures of the cluster');
  const depth = gauge('queue_purchases', 'Purchases accepted and not yet settled');
  const oldest = gauge('oldest_unsettled_seconds', 'How long the oldest unsettled purchase has been waiting');
  const deadLetters = gauge('dead_letters', 'Jobs that failed as often as they are tried');
  const lag = gauge('consumer_lag_events', 'Events that wait for a subscriber', ['subscriber']);
  const stock = gauge('sale_stock_units', 'Units left, of at most 20 open sales', ['sale']);
  const mails = gauge('unsent_mails', 'Mails that wait, failed, or may have been delivered (unsure)', [
    'state',
  ]);
  const breaches = gauge('invariant_breaches', 'Breaches that the last audit found');
  const auditedAt = gauge('audited_timestamp_seconds', 'When the last audit ended');

  return async () => {
    const reading = await withTimeout(read(), patienceMs).catch(() => null);
    for (const single of [depth, oldest, deadLetters, breaches, auditedAt]) single.remove();
    for (const several of [lag, stock, mails]) several.reset();
    up.set(reading ? 1 : 0);
    if (!reading) return;
    depth.set(reading.depth);
    oldest.set(reading.oldestMs / 1_000);
    deadLetters.set(reading.deadLetters);
    for (const [subscriber, events] of Object.entries(reading.lag)) lag.set({ subscriber }, events);
    for (const { saleId: sale, stock: units } of reading.stocks) stock.set({ sale }, units);
    for (const [state, count] of Object.entries(reading.mails)) mails.set({ state }, count);
    if (!reading.audit) return;
    breaches.set(reading.audit.breaches);
    auditedAt.set(reading.audit.atMs / 1_000);
  };
}
