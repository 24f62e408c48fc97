/** What the figures of the queue ask staff to do. Nothing is fine that was not measured. */

/** @import { QueueFigures } from '../../../insight/contract.ts' */

/** @typedef {'good' | 'warn' | 'bad'} State what to do about a figure: nothing, watch it, or act */

/** No alert comes before `bad`: see ops/alerts.yml. */
const LIMITS = {
  oldestMs: { warn: 2_000, bad: 10_000 },
  lag: { warn: 200, bad: 1_000 },
  settledMs: { warn: 1_000, bad: 5_000 },
  /** The share of answers that were faults. */
  faults: { warn: 0.001, bad: 0.014 },
};

/** @param {number | null} figure @param {{ warn: number, bad: number }} limits @returns {State | null} */
function stateOf(figure, { warn, bad }) {
  if (figure === null) return null;
  return figure > bad ? 'bad' : figure > warn ? 'warn' : 'good';
}

/**
 * The time within which purchases are settled. One that still waits counts with its age, because a queue that stands still
 * has no other measurement.
 * @param {Pick<QueueFigures, 'depth' | 'oldestMs' | 'p99Ms'>} figures @returns {number | null}
 */
export const settledWithinMs = ({ depth, oldestMs, p99Ms }) =>
  depth > 0 && oldestMs > (p99Ms ?? 0) ? oldestMs : p99Ms;

/** @param {QueueFigures} figures */
export function statesOf(figures) {
  const { oldestMs, lag, deadLetters, deadLetterGrowth, successRate } = figures;
  const lags = Object.values(lag);
  return {
    depth: stateOf(oldestMs, LIMITS.oldestMs),
    lag: stateOf(lags.length > 0 ? Math.max(...lags) : null, LIMITS.lag),
    latency: stateOf(settledWithinMs(figures), LIMITS.settledMs),
    deadLetters: /** @type {State} */ (deadLetterGrowth > 0 ? 'bad' : deadLetters > 0 ? 'warn' : 'good'),
    success: stateOf(successRate === null ? null : 1 - successRate, LIMITS.faults),
  };
}
