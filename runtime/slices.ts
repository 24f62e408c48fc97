import { setImmediate } from 'node:timers/promises';

/** Gives the event loop to others whenever a long loop has run for `sliceMs`. The loop's body has to be short. */
export async function* inSlices<Item>(items: Iterable<Item>, sliceMs = 10): AsyncGenerator<Item> {
  let endsAt = performance.now() + sliceMs;
  for (const item of items) {
    if (performance.now() >= endsAt) {
      await setImmediate();
      endsAt = performance.now() + sliceMs;
    }
    yield item;
  }
}
