import type { StockMessage } from './contract.ts';

/**
 * Sends the stock of each sale at most `perSecond` times a second: the first change at once, then only the newest of
 * those that came meanwhile. What is left out would have been overwritten before a person could read it.
 */
export function coalesceStock({
  perSecond,
  send,
}: {
  perSecond: number;
  send: (message: StockMessage) => void;
}): { tell: (message: StockMessage) => void; close: () => void } {
  const intervalMs = 1_000 / perSecond;
  /** By sale id, from a message until `intervalMs` passed without another one. */
  const resting = new Map<
    string,
    { timer: NodeJS.Timeout; sentVersion: number; next: StockMessage | null }
  >();

  function sendAndRest(message: StockMessage): void {
    send(message);
    const timer = setTimeout(() => {
      const next = resting.get(message.saleId)?.next;
      resting.delete(message.saleId);
      if (next) sendAndRest(next);
    }, intervalMs);
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
