import { expect, test } from 'vitest';
import { keyedQueue } from '../../runtime/keyed-queue.ts';

/** A queue whose work ends when the test says so. */
function openQueue({ maxRunning, maxWaiting }: { maxRunning: number; maxWaiting: number }) {
  const begun: string[] = [];
  const ends = new Map<string, () => void>();
  const work = (key: string) => {
    begun.push(key);
    return new Promise<void>((resolve) => ends.set(key, resolve));
  };
  const queue = keyedQueue({ work, maxRunning, maxWaiting });
  async function end(key: string) {
    ends.get(key)?.();
    await new Promise(setImmediate);
  }
  return { queue, begun, end };
}

test('more keys than run at once wait in the order in which they came, and each gets its turn', async () => {
  const { queue, begun, end } = openQueue({ maxRunning: 2_000, maxWaiting: 10_000 });
  const keys = Array.from({ length: 2_002 }, (_, n) => `payment ${n}`);
  for (const key of keys) expect(queue.run(key)).not.toBeNull();
  expect(begun).toEqual(keys.slice(0, 2_000));
  await end('payment 1999');
  await end('payment 7');
  expect(begun).toEqual(keys);
  for (const key of keys) await end(key);
  await queue.drained();
});

test('news of a key that waits is the same run, and of one that runs is one more, after those that wait', async () => {
  const { queue, begun, end } = openQueue({ maxRunning: 1, maxWaiting: 10 });
  const first = queue.run('a');
  for (const key of ['b', 'b', 'a', 'a', 'c']) queue.run(key);
  await end('a');
  expect(begun).toEqual(['a', 'b']);
  queue.run('a');
  await end('b');
  await end('c');
  await end('a');
  await first;
  await queue.drained();
  expect(begun).toEqual(['a', 'b', 'c', 'a']);
});

test('a key that comes when too many wait is not taken, and may come again', async () => {
  const { queue, begun, end } = openQueue({ maxRunning: 1, maxWaiting: 1 });
  const [a, b, c] = ['a', 'b', 'c'].map((key) => queue.run(key));
  expect([a, b, c].map((ended) => ended !== null)).toEqual([true, true, false]);
  await end('a');
  expect(queue.run('c')).not.toBeNull();
  await end('b');
  await end('c');
  await queue.drained();
  expect(begun).toEqual(['a', 'b', 'c']);
});

test('only a run that starts at once gets the news, which may be out of date after a wait', async () => {
  const seen: [string, string | undefined][] = [];
  const queue = keyedQueue<string>({
    work: async (key, news) => {
      seen.push([key, news]);
      await new Promise(setImmediate);
    },
    maxRunning: 1,
    maxWaiting: 10,
  });
  for (const key of ['a', 'b', 'a']) queue.run(key, `news of ${key}`);
  await queue.drained();
  expect(seen).toEqual([
    ['a', 'news of a'],
    ['b', undefined],
    ['a', undefined],
  ]);
});
