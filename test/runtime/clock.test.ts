import { pino } from 'pino';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { openSharedClock, type SharedClock } from '../../runtime/clock.ts';

const silent = pino({ level: 'silent' });
let clock: SharedClock;
let followed: { close: () => void };
beforeEach(() => {
  vi.useFakeTimers({ now: Date.parse('2026-01-01T12:00:00Z') });
  clock = openSharedClock('Redis');
});
afterEach(() => {
  followed?.close();
  vi.useRealTimers();
});

const hourMs = 3_600_000;

/** Follows a remote clock that is so far ahead of this process's clock. */
async function follow(remote: { aheadMs: number }): Promise<void> {
  const [began, startedAt] = [performance.now(), Date.now()];
  followed = clock.follow(async () => startedAt + performance.now() - began + remote.aheadMs, silent);
  await vi.advanceTimersByTimeAsync(1);
}

test('the clock is this process’s own until the database has answered', () => {
  expect(clock.now().getTime()).toBe(Date.now());
  expect(clock.aheadMs()).toBeNull();
});

test('the clock follows the database, and reports this process’s skew', async () => {
  await follow({ aheadMs: 90_000 });
  expect(clock.now().getTime()).toBe(Date.now() + 90_000);
  expect(clock.aheadMs()).toBe(-90_000);
});

test('the clock does not jump when this machine’s time is set', async () => {
  await follow({ aheadMs: 0 });
  const before = clock.now().getTime();
  vi.setSystemTime(Date.now() - hourMs);
  await vi.advanceTimersByTimeAsync(100);
  expect(clock.now().getTime() - before).toBe(100);
  expect(clock.aheadMs()).toBe(-hourMs);
});

test('the clock follows a database whose time is set, within two seconds', async () => {
  const remote = { aheadMs: 0 };
  await follow(remote);
  remote.aheadMs = -hourMs;
  await vi.advanceTimersByTimeAsync(2_000);
  expect(clock.aheadMs()).toBe(hourMs);
});

test('the clock keeps running while the database is unavailable', async () => {
  let isAway = false;
  const startedAt = Date.now();
  followed = clock.follow(async () => {
    if (isAway) throw new Error('away');
    return startedAt + 5_000;
  }, silent);
  await vi.advanceTimersByTimeAsync(0);
  isAway = true;
  await vi.advanceTimersByTimeAsync(60_000);
  expect(clock.now().getTime()).toBe(startedAt + 65_000);
});
