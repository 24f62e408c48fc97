import { describe, expect, test } from 'vitest';
import { backoffMs, retry } from '../../runtime/retry.ts';
import { withTimeout } from '../../runtime/with-timeout.ts';

const quick = { firstMs: 1, longestMs: 2 };

/** Work that fails so often, and then succeeds with how often it was called. */
function failing(times: number, fault: () => unknown = () => new Error('not yet')) {
  let calls = 0;
  return async () => {
    calls += 1;
    if (calls <= times) throw fault();
    return calls;
  };
}

describe('a retry', () => {
  test('repeats work, whatever it throws, until it succeeds', async () => {
    expect(await retry(failing(3), quick)).toBe(4);
    expect(
      await retry(
        failing(2, () => new TypeError('of undefined')),
        quick,
      ),
    ).toBe(3);
    expect(
      await retry(
        failing(2, () => 'a text'),
        quick,
      ),
    ).toBe(3);
  });

  test('throws the last error after maxAttempts, and reports each', async () => {
    const told: (number | null)[] = [];
    const onFailure = (_error: Error, retryMs: number | null) => told.push(retryMs);
    await expect(retry(failing(9), { ...quick, maxAttempts: 3, onFailure })).rejects.toThrow('not yet');
    expect(told).toEqual([expect.any(Number), expect.any(Number), null]);
  });

  test('throws an error that must not be retried at once', async () => {
    const work = failing(9);
    await expect(retry(work, { ...quick, shouldRetry: () => false })).rejects.toThrow('not yet');
    await expect(work()).rejects.toThrow();
  });

  test('without patience makes one attempt', async () => {
    const work = failing(1);
    await expect(retry(work, { ...quick, patienceMs: -1 })).rejects.toThrow('not yet');
    expect(await work()).toBe(2);
  });

  test('ends its wait when the signal aborts, and makes its first attempt even then', async () => {
    const stopping = new AbortController();
    const forever = { firstMs: 3_600_000, longestMs: 3_600_000, signal: stopping.signal };
    const waiting = retry(failing(9), { ...forever, onFailure: () => setImmediate(() => stopping.abort()) });
    const outcome = await waiting.catch((error) => error);
    expect(outcome).toBe(stopping.signal.reason);
    expect(await retry(failing(0), forever)).toBe(1);
    await expect(retry(failing(1), forever)).rejects.toBe(stopping.signal.reason);
  });
});

test('backoff doubles up to the longest wait, with jitter of up to half', () => {
  for (const [failures, fullMs] of [
    [1, 100],
    [2, 200],
    [3, 400],
    [4, 500],
    [4_000, 500],
  ] as const) {
    const waitMs = backoffMs({ firstMs: 100, longestMs: 500 }, failures);
    expect(waitMs).toBeGreaterThanOrEqual(fullMs / 2);
    expect(waitMs).toBeLessThanOrEqual(fullMs);
  }
  expect(backoffMs({ firstMs: 0, longestMs: 0 }, 4_000)).toBe(0);
});

test('a time-out rejects with the caller’s error; other work keeps its value or error', async () => {
  const never = new Promise(() => {});
  await expect(withTimeout(never, 5)).rejects.toThrow('5 ms');
  await expect(withTimeout(never, 5, () => new Error('late'))).rejects.toThrow('late');
  expect(await withTimeout(Promise.resolve(1), 60_000)).toBe(1);
  await expect(withTimeout(Promise.reject(new Error('own')), 60_000)).rejects.toThrow('own');
});
