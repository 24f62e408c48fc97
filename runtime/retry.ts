import { pause } from './pause.ts';

/** Waits double from the first to the longest. */
export interface Backoff {
  firstMs: number;
  longestMs: number;
}

export interface RetryOptions extends Backoff {
  /** Ends the waiting: no further attempt begins. The first one always does, and what runs comes to its end. */
  signal?: AbortSignal;
  /** After so many the fault is thrown; otherwise there is no limit. */
  maxAttempts?: number;
  /** An attempt that fails later than this was the last one. */
  patienceMs?: number;
  /** Otherwise every fault is retried. */
  shouldRetry?: (error: unknown) => boolean;
  /** Is told of each failed attempt. @param retryMs null when it was the last one. */
  onFailure?: (error: Error, retryMs: number | null) => void;
}

/**
 * Repeats work until it succeeds. It is our own, since p-retry gives up at every TypeError and asks for Node 22, and
 * cockatiel and exponential-backoff do not end a wait when a signal aborts.
 * @throws the fault that was not to be retried; the signal's reason when that ended the waiting.
 */
export async function retry<Value>(
  work: () => Promise<Value>,
  { signal, maxAttempts = Infinity, patienceMs = Infinity, shouldRetry, onFailure, ...backoff }: RetryOptions,
): Promise<Value> {
  const deadline = performance.now() + patienceMs;
  for (let attempts = 1; ; attempts++) {
    try {
      return await work();
    } catch (error) {
      const isLast = attempts >= maxAttempts || performance.now() > deadline;
      const retryMs = isLast || shouldRetry?.(error) === false ? null : backoffMs(backoff, attempts);
      onFailure?.(error instanceof Error ? error : new Error(String(error)), retryMs);
      if (retryMs === null) throw error;
      await pause(retryMs, signal);
      signal?.throwIfAborted();
    }
  }
}

/**
 * How long to wait after so many failures in a row, with jitter: at least half of the full wait, so that whoever failed
 * together does not come back together.
 */
export function backoffMs({ firstMs, longestMs }: Backoff, failures: number): number {
  const fullMs = Math.min(firstMs * 2 ** Math.min(failures - 1, 30), longestMs);
  return Math.round(fullMs * (0.5 + Math.random() / 2));
}
