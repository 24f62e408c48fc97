/** Runs one function for many keys: for each key once at a time, for a bounded number of keys at once, in the order of arrival. */
export interface KeyedQueue<News> {
  /**
   * Runs it for this key soon. While the key waits this is the same run; while it is running, one more follows. Only a run that
   * starts at once gets the news, because these may be out of date after a wait.
   * @returns a promise of the end of it; null when `maxWaiting` keys wait already.
   */
  run(key: string, news?: News): Promise<void> | null;
  /** Resolves when nothing waits or runs any more. */
  drained(): Promise<void>;
}

interface Entry {
  /** Whether it was asked for again since its latest run began. */
  again: boolean;
  ended: Promise<void>;
}

/** @param work it must not throw. */
export function keyedQueue<News = never>({
  work,
  maxRunning,
  maxWaiting,
}: {
  work: (key: string, news: News | undefined) => Promise<void>;
  maxRunning: number;
  maxWaiting: number;
}): KeyedQueue<News> {
  const entries = new Map<string, Entry>();
  /** What starts those that wait; a Map keeps the order in which they came. */
  const waiting = new Map<string, () => void>();
  let running = 0;

  async function runInTurn(key: string, entry: Entry, news: News | undefined): Promise<void> {
    let fresh = news;
    if (running < maxRunning) running++;
    else {
      fresh = undefined;
      await new Promise<void>((start) => waiting.set(key, start));
    }
    do {
      entry.again = false;
      await work(key, fresh);
      fresh = undefined;
      // The keys that wait come first, so that a key which is asked for again and again holds up none.
      if (entry.again && waiting.size > 0) {
        const turn = new Promise<void>((start) => waiting.set(key, start));
        handOver();
        await turn;
      }
    } while (entry.again);
    entries.delete(key);
    handOver();
  }

  /** The next one that waits gets the place of the one that has ended. */
  function handOver(): void {
    const [next] = waiting;
    if (!next) return void running--;
    const [key, start] = next;
    waiting.delete(key);
    start();
  }

  return {
    run(key, news) {
      const known = entries.get(key);
      if (known) {
        known.again = true;
        return known.ended;
      }
      if (waiting.size >= maxWaiting) return null;
      const entry: Entry = { again: false, ended: Promise.resolve() };
      entries.set(key, entry);
      entry.ended = runInTurn(key, entry, news);
      return entry.ended;
    },
    async drained() {
      while (entries.size > 0) await Promise.all([...entries.values()].map(({ ended }) => ended));
    },
  };
}
