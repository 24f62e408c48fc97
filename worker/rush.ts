const rushPerSecond = 2_000;
const lastsMs = 500;

/** Whether so much is being settled that what can wait does. */
export function openRush(): {
  note: (purchases: number) => void;
  isOn: () => boolean;
} {
  let notedAt = 0;
  let endsAt = 0;
  return {
    /** Is told the size of every transaction. */
    note(purchases) {
      const now = performance.now();
      if ((purchases * 1_000) / (now - notedAt) >= rushPerSecond) endsAt = now + lastsMs;
      notedAt = now;
    },
    isOn: () => performance.now() < endsAt,
  };
}
