import { setTimeout as delay } from 'node:timers/promises';

/**
 * What work comes to, if it does so in time. The work itself goes on. It is our own, because p-timeout requires Node 22.
 * @throws what `late` makes when it takes longer than `ms`; otherwise whatever the work threw.
 */
export async function withTimeout<Value>(
  work: Promise<Value>,
  ms: number,
  late: () => Error = () => new Error(`Not after ${ms} ms`),
): Promise<Value> {
  const inTime = new AbortController();
  const deadline = delay(ms, undefined, { signal: inTime.signal }).then(
    () => {
      throw late();
    },
    () => new Promise<never>(() => {}),
  );
  try {
    return await Promise.race([work, deadline]);
  } finally {
    inTime.abort();
  }
}
