import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { coalesceStock } from '../../sale/broadcast.ts';
import type { StockMessage } from '../../sale/contract.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

function openBroadcast(perSecond = 20) {
  const sent: string[] = [];
  const { push, close } = coalesceStock({
    perSecond,
    send: ({ saleId, stockVersion }) => sent.push(`${saleId} ${stockVersion}`),
  });
  const message = (saleId: string, stockVersion: number): StockMessage => {
    return { saleId, stockVersion, stock: 100 - stockVersion, at: '2026-01-01T00:00:00.000Z' };
  };
  return { sent, close, push: (saleId: string, version: number) => push(message(saleId, version)) };
}

test('the first change is sent at once, and of those that come meanwhile only the newest', () => {
  const { sent, push } = openBroadcast();
  for (const version of [1, 2, 3, 4]) push('lamp', version);
  expect(sent).toEqual(['lamp 1']);
  vi.advanceTimersByTime(50);
  expect(sent).toEqual(['lamp 1', 'lamp 4']);
  vi.advanceTimersByTime(1_000);
  expect(sent).toEqual(['lamp 1', 'lamp 4']);
});

test('an older version than the last one sent is dropped', () => {
  const { sent, push } = openBroadcast();
  for (const version of [5, 9, 7, 4, 5]) push('lamp', version);
  vi.advanceTimersByTime(1_000);
  expect(sent).toEqual(['lamp 5', 'lamp 9']);
});

test('a thousand changes a second become at most twenty messages, and the last change is one of them', () => {
  const { sent, push } = openBroadcast();
  for (let version = 1; version <= 1_000; version++) {
    vi.advanceTimersByTime(1);
    push('lamp', version);
  }
  expect(sent).toHaveLength(20);
  vi.advanceTimersByTime(100);
  expect(sent).toHaveLength(21);
  expect(sent.at(-1)).toBe('lamp 1000');
});

test('one busy sale does not delay another', () => {
  const { sent, push } = openBroadcast();
  push('lamp', 1);
  push('lamp', 2);
  push('chair', 1);
  expect(sent).toEqual(['lamp 1', 'chair 1']);
  vi.advanceTimersByTime(1_000);
  expect(sent).toEqual(['lamp 1', 'chair 1', 'lamp 2']);
});

test.each([
  ['30 ms to send is followed by an interval of 150 ms', 30, 150],
  ['a minute to send is followed by an interval of a second', 60_000, 1_000],
])('a message that takes %s', (_what, sendMs, intervalMs) => {
  const sent: number[] = [];
  const { push } = coalesceStock({
    perSecond: 20,
    send: ({ stockVersion }) => {
      sent.push(stockVersion);
      vi.advanceTimersByTime(sendMs);
    },
  });
  const message = { saleId: 'lamp', stock: 1, at: '2026-01-01T00:00:00.000Z' };
  push({ ...message, stockVersion: 1 });
  push({ ...message, stockVersion: 2 });
  vi.advanceTimersByTime(intervalMs - 1);
  expect(sent).toEqual([1]);
  vi.advanceTimersByTime(1);
  expect(sent).toEqual([1, 2]);
  vi.advanceTimersByTime(2_000);
});

test('after close nothing is sent and no timer is left', () => {
  const { sent, push, close } = openBroadcast();
  push('lamp', 1);
  push('lamp', 2);
  close();
  expect(vi.getTimerCount()).toBe(0);
  vi.advanceTimersByTime(1_000);
  expect(sent).toEqual(['lamp 1']);
});
