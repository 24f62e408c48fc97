import { pause } from './pause.ts';

/** Exponential backoff: each wait is twice the one before, up to the longest. */
export interface Backoff {
  firstMs: number;
  longestMs: number;
}

export interface RetryOptions extends Backoff {
  /** Ends the wait before the next attempt. The first attempt always runs, and a running one is not interrupted. */
  signal?: AbortSignal;
  /** The error of this attempt is thrown; by default there is no limit. */
  maxAttempts?: number;
  /** No further attempt is made after this time; by default there is no limit. */
  patienceMs?: number;
  /** By default every error is retried. */
  shouldRetry?: (error: unknown) => boolean;
  /** Is called after each failed attempt. @param retryMs the wait before the next one; null after the last one. */
  onFailure?: (error: Error, retryMs: number | null) => void;
}

/**
 * Repeats work until it succeeds. It is our own, because p-retry gives up at every TypeError and requires Node 22, and
 * cockatiel and exponential-backoff do not end a wait when a signal aborts.
 * @throws the last error of `work`; the signal's reason when it aborted during a wait.
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
 * The wait in ms after so many consecutive failures. Jitter takes off up to half of it, so that processes that failed
 * together do not retry together.
 */
export function backoffMs({ firstMs, longestMs }: Backoff, failures: number): number {
  const fullMs = Math.min(firstMs * 2 ** Math.min(failures - 1, 30), longestMs);
  return Math.round(fullMs * (0.5 + Math.random() / 2));
}
