import { Overloaded } from './group-commit.ts';
import { pause } from './pause.ts';

/** Runs work under the mutex: one call at a time, in the order of the calls. */
export type Exclusive = <Value>(work: () => Promise<Value>) => Promise<Value>;

export function openMutex(): Exclusive {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const run = last.then(work);
    last = run.catch(() => {});
    return run;
  };
}

/**
 * A mutex for each key.
 * @param gapMs between two calls with one key, so that other processes get their turn.
 * @throws Overloaded when `maxWaiting` calls with one key are running and waiting.
 */
export function openMutexes({ maxWaiting, gapMs }: { maxWaiting: number; gapMs: number }) {
  const byKey = new Map<string, { exclusive: Exclusive; waiting: number }>();
  return async <Value>(key: string, work: () => Promise<Value>): Promise<Value> => {
    const mutex = byKey.get(key) ?? { exclusive: openMutex(), waiting: 0 };
    if (mutex.waiting >= maxWaiting) throw new Overloaded('too many changes of the same thing are waiting');
    byKey.set(key, mutex);
    mutex.waiting += 1;
    try {
      return await mutex.exclusive(async () => {
        try {
          return await work();
        } finally {
          if (mutex.waiting > 1) await pause(gapMs);
        }
      });
    } finally {
      mutex.waiting -= 1;
      if (mutex.waiting === 0) byKey.delete(key);
    }
  };
}
