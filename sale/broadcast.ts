import type { StockMessage } from './contract.ts';

/** Broadcasting takes at most this share of a process's time, so that thousands of open tabs do not delay buyers. */
const maxBroadcastShare = 0.2;
const maxIntervalMs = 1_000;

/**
 * Throttles the stock messages of each sale to `perSecond` a second: the first change is sent at once, then only the
 * newest of those that arrived meanwhile, because a person could not read the others before they are replaced. The
 * interval grows when a message takes long to send, as one to thousands of tabs does.
 */
export function coalesceStock({
  perSecond,
  send,
}: {
  perSecond: number;
  send: (message: StockMessage) => void;
}): { push: (message: StockMessage) => void; close: () => void } {
  const minIntervalMs = 1_000 / perSecond;
  /** By sale id: sales whose last message was sent less than one interval ago, and the message that is due next. */
  const throttled = new Map<
    string,
    { timer: NodeJS.Timeout; sentVersion: number; next: StockMessage | null }
  >();

  function sendAndThrottle(message: StockMessage): void {
    const startedAt = performance.now();
    send(message);
    const tookMs = performance.now() - startedAt;
    const intervalMs = Math.min(Math.max(minIntervalMs, tookMs / maxBroadcastShare), maxIntervalMs);
    const timer = setTimeout(() => {
      const next = throttled.get(message.saleId)?.next;
      throttled.delete(message.saleId);
      if (next) sendAndThrottle(next);
    }, intervalMs);
    throttled.set(message.saleId, { timer, sentVersion: message.stockVersion, next: null });
  }

  return {
    push(message) {
      const pending = throttled.get(message.saleId);
      if (!pending) sendAndThrottle(message);
      else if (message.stockVersion > (pending.next?.stockVersion ?? pending.sentVersion))
        pending.next = message;
    },
    close() {
      for (const { timer } of throttled.values()) clearTimeout(timer);
      throttled.clear();
    },
  };
}
