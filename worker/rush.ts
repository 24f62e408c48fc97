const rushPerSecond = 2_000;
const lastsMs = 500;

/**
 * Whether so much is being settled that what can wait does.
 * @param countWorkers those who share the settling and take turns: each sees its own part of a rush.
 */
export function openRush(countWorkers: () => number): {
  note: (purchases: number) => void;
  isOn: () => boolean;
} {
  let notedAt = 0;
  let endsAt = 0;
  return {
    /** Is told the size of every transaction. */
    note(purchases) {
      const now = performance.now();
      const workers = countWorkers();
      if ((workers * purchases * 1_000) / (now - notedAt) >= rushPerSecond) endsAt = now + workers * lastsMs;
      notedAt = now;
    },
    isOn: () => performance.now() < endsAt,
  };
}
