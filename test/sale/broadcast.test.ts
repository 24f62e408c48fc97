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
  const { tell, close } = coalesceStock({
    perSecond,
    send: ({ saleId, stockVersion }) => sent.push(`${saleId} ${stockVersion}`),
  });
  const message = (saleId: string, stockVersion: number): StockMessage => {
    return { saleId, stockVersion, stock: 100 - stockVersion, at: '2026-01-01T00:00:00.000Z' };
  };
  return { sent, close, tell: (saleId: string, version: number) => tell(message(saleId, version)) };
}

test('the first change is sent at once, and only the newest of later ones', () => {
  const { sent, tell } = openBroadcast();
  for (const version of [1, 2, 3, 4]) tell('lamp', version);
  expect(sent).toEqual(['lamp 1']);
  vi.advanceTimersByTime(50);
  expect(sent).toEqual(['lamp 1', 'lamp 4']);
  vi.advanceTimersByTime(1_000);
  expect(sent).toEqual(['lamp 1', 'lamp 4']);
});

test('an outdated message is not sent', () => {
  const { sent, tell } = openBroadcast();
  for (const version of [5, 9, 7, 4, 5]) tell('lamp', version);
  vi.advanceTimersByTime(1_000);
  expect(sent).toEqual(['lamp 5', 'lamp 9']);
});

test('a thousand changes a second become at most twenty messages, which include the last change', () => {
  const { sent, tell } = openBroadcast();
  for (let version = 1; version <= 1_000; version++) {
    vi.advanceTimersByTime(1);
    tell('lamp', version);
  }
  expect(sent).toHaveLength(20);
  vi.advanceTimersByTime(100);
  expect(sent).toHaveLength(21);
  expect(sent.at(-1)).toBe('lamp 1000');
});

test('a busy sale does not delay another', () => {
  const { sent, tell } = openBroadcast();
  tell('lamp', 1);
  tell('lamp', 2);
  tell('chair', 1);
  expect(sent).toEqual(['lamp 1', 'chair 1']);
  vi.advanceTimersByTime(1_000);
  expect(sent).toEqual(['lamp 1', 'chair 1', 'lamp 2']);
});

test.each([
  ['30 ms to send is followed by a pause of 150 ms', 30, 150],
  ['a minute to send is followed by a pause of a second', 60_000, 1_000],
])('a message that takes %s', (_what, sendMs, restMs) => {
  const sent: number[] = [];
  const { tell } = coalesceStock({
    perSecond: 20,
    send: ({ stockVersion }) => {
      sent.push(stockVersion);
      vi.advanceTimersByTime(sendMs);
    },
  });
  const message = { saleId: 'lamp', stock: 1, at: '2026-01-01T00:00:00.000Z' };
  tell({ ...message, stockVersion: 1 });
  tell({ ...message, stockVersion: 2 });
  vi.advanceTimersByTime(restMs - 1);
  expect(sent).toEqual([1]);
  vi.advanceTimersByTime(1);
  expect(sent).toEqual([1, 2]);
  vi.advanceTimersByTime(2_000);
});

test('nothing is sent after close, and no timer is left', () => {
  const { sent, tell, close } = openBroadcast();
  tell('lamp', 1);
  tell('lamp', 2);
  close();
  expect(vi.getTimerCount()).toBe(0);
  vi.advanceTimersByTime(1_000);
  expect(sent).toEqual(['lamp 1']);
});
