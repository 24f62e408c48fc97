import type { StockMessage } from './contract.ts';

/** Telling takes at most this share of a process's time, so that a crowd of tabs does not keep buyers waiting. */
const mostTelling = 0.2;
const longestRestMs = 1_000;

/**
 * Sends the stock of each sale at most `perSecond` times a second: the first change at once, then only the newest of
 * those that came meanwhile. What is left out would have been overwritten before a person could read it. A message to
 * thousands of tabs takes a while to send, and is followed by a longer rest.
 */
export function coalesceStock({
  perSecond,
  send,
}: {
  perSecond: number;
  send: (message: StockMessage) => void;
}): { tell: (message: StockMessage) => void; close: () => void } {
  const intervalMs = 1_000 / perSecond;
  /** By sale id, from a message until its rest passed without another one. */
  const resting = new Map<
    string,
    { timer: NodeJS.Timeout; sentVersion: number; next: StockMessage | null }
  >();

  function sendAndRest(message: StockMessage): void {
    const startedAt = performance.now();
    send(message);
    const tookMs = performance.now() - startedAt;
    const restMs = Math.min(Math.max(intervalMs, tookMs / mostTelling), longestRestMs);
    const timer = setTimeout(() => {
      const next = resting.get(message.saleId)?.next;
      resting.delete(message.saleId);
      if (next) sendAndRest(next);
    }, restMs);
    resting.set(message.saleId, { timer, sentVersion: message.stockVersion, next: null });
  }

  return {
    tell(message) {
      const rest = resting.get(message.saleId);
      if (!rest) sendAndRest(message);
      else if (message.stockVersion > (rest.next?.stockVersion ?? rest.sentVersion)) rest.next = message;
    },
    close() {
      for (const { timer } of resting.values()) clearTimeout(timer);
      resting.clear();
    },
  };
}
