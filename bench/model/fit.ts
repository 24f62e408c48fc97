import type { Costs } from './simulate.ts';

/** What one load used: CPU seconds by kind of process, and how many flushes and transactions there were. */
export interface Usage {
  presses: number;
  flushes: number;
  batches: number;
  cpu: Record<'client' | 'nginx' | 'server' | 'redis' | 'worker' | 'mongo', number>;
  /** Seconds that a flush and an order took when nothing else was going on. */
  waits: Costs['waits'];
}

/**
 * Finds the cost of a press and that of a flush or a transaction from loads with few and many presses in each (least squares).
 * @param usages at least two, the first one of a single client, whose waits are taken.
 */
export function fitCosts(usages: Usage[]): Costs {
  const [single] = usages;
  if (!single || usages.length < 2) throw new Error('expected the usage of at least two loads');
  const cpuOf = (kind: keyof Usage['cpu']) => usages.map(({ cpu, presses }) => cpu[kind] / presses);
  const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const gathered = (kind: keyof Usage['cpu'], what: 'flushes' | 'batches') =>
    fitLine(
      usages.map((usage) => usage[what] / usage.presses),
      cpuOf(kind),
    );
  const [server, redis] = [gathered('server', 'flushes'), gathered('redis', 'flushes')];
  const [worker, mongo] = [gathered('worker', 'batches'), gathered('mongo', 'batches')];
  return {
    client: { press: mean(cpuOf('client').slice(1)) },
    nginx: { press: mean(cpuOf('nginx').slice(1)) },
    server: { press: server.constant, flush: server.slope },
    redis: { press: redis.constant, flush: redis.slope },
    worker: { press: worker.constant, batch: worker.slope },
    mongo: { press: mongo.constant, batch: mongo.slope },
    waits: {
      flush: Math.max(0, single.waits.flush - redis.slope - redis.constant),
      commit: Math.max(0, single.waits.commit - worker.slope - mongo.slope),
    },
  };
}

/** The line through points by least squares; neither its constant nor its slope is negative. */
function fitLine(xs: number[], ys: number[]): { constant: number; slope: number } {
  const n = xs.length;
  const sum = (values: number[]) => values.reduce((total, value) => total + value, 0);
  const [x, y] = [sum(xs) / n, sum(ys) / n];
  const spread = sum(xs.map((each) => (each - x) ** 2));
  const slope = spread > 0 ? sum(xs.map((each, i) => (each - x) * ((ys[i] ?? 0) - y))) / spread : 0;
  if (slope <= 0) return { constant: y, slope: 0 };
  const constant = y - slope * x;
  if (constant >= 0) return { constant, slope };
  return { constant: 0, slope: sum(ys) / sum(xs) };
}
