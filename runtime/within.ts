import { setTimeout as delay } from 'node:timers/promises';

/**
 * What work comes to, if it does so in time. The work itself goes on.
 * @throws Error when it takes longer than `ms`; otherwise whatever the work threw.
 */
export async function within<Value>(ms: number, work: Promise<Value>): Promise<Value> {
  const inTime = new AbortController();
  const late = delay(ms, undefined, { signal: inTime.signal }).then(
    () => {
      throw new Error(`Not after ${ms} ms`);
    },
    () => new Promise<never>(() => {}),
  );
  try {
    return await Promise.race([work, late]);
  } finally {
    inTime.abort();
  }
}
