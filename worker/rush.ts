/** Purchases in one transaction, as they come together at some thousands a second. */
const rushPurchases = 100;
const lastsMs = 500;

/** Whether settling takes all that a worker has, so that what can wait does. */
export function openRush(): { note: (purchases: number) => void; isOn: () => boolean } {
  let endsAt = 0;
  return {
    /** Is told the size of every transaction. */
    note(purchases) {
      if (purchases >= rushPurchases) endsAt = performance.now() + lastsMs;
    },
    isOn: () => performance.now() < endsAt,
  };
}
