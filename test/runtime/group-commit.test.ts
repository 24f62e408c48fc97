import { expect, test } from 'vitest';
import { groupCommit, Overloaded } from '../../runtime/group-commit.ts';

/** A `send` whose batches the test completes. */
function controlledSend() {
  const batches: number[][] = [];
  const arrivals: (() => void)[] = [];
  const returns: { ok: () => void; fail: (error: Error) => void }[] = [];
  return {
    batches,
    send(items: number[]): Promise<string[]> {
      batches.push(items);
      arrivals.shift()?.();
      return new Promise((resolve, reject) => {
        returns.push({ ok: () => resolve(items.map((item) => `answer ${item}`)), fail: reject });
      });
    },
    /** Resolves when the next batch is sent. */
    departure: () => new Promise<void>((resolve) => arrivals.push(resolve)),
    /** Completes the oldest batch. */
    bringBack: () => returns.shift()?.ok(),
    fail: (error: Error) => returns.shift()?.fail(error),
  };
}

test('a single item is sent at once, and items that arrive meanwhile are sent in one batch', async () => {
  const trips = controlledSend();
  const { submit } = groupCommit({ send: trips.send, maxBatch: 10, maxWaiting: 100 });
  const first = trips.departure();
  const one = submit(1);
  await first;
  const crowd = [2, 3, 4].map(submit);
  expect(trips.batches).toEqual([[1]]);

  const second = trips.departure();
  trips.bringBack();
  expect(await one).toBe('answer 1');
  await second;
  trips.bringBack();
  expect(await Promise.all(crowd)).toEqual(['answer 2', 'answer 3', 'answer 4']);
  expect(trips.batches).toEqual([[1], [2, 3, 4]]);
});

test('items of one turn of the event loop are sent in one batch', async () => {
  const batches: number[][] = [];
  const send = async (items: number[]) => {
    batches.push(items);
    return items;
  };
  const { submit } = groupCommit({ send, maxBatch: 10, maxWaiting: 100 });
  expect(await Promise.all([1, 2, 3].map(submit))).toEqual([1, 2, 3]);
  expect(batches).toEqual([[1, 2, 3]]);
});

test('batches keep a minimum gap, which a single item does not wait for', async () => {
  const trips: { left: number; back: number }[] = [];
  const send = async (items: number[]) => {
    const left = performance.now();
    await new Promise(setImmediate);
    trips.push({ left, back: performance.now() });
    return items;
  };
  const { submit } = groupCommit({ send, maxBatch: 1, maxWaiting: 100, gapMs: () => 30 });
  const began = performance.now();
  await Promise.all([1, 2, 3].map(submit));
  const [first, second, third] = trips;
  expect((first?.left ?? 0) - began).toBeLessThan(30);
  // A timer may fire a millisecond early.
  expect((second?.left ?? 0) - (first?.back ?? 0)).toBeGreaterThan(28);
  expect((third?.left ?? 0) - (second?.back ?? 0)).toBeGreaterThan(28);
});

test('items beyond the batch size are sent in several batches, in order, each with its own answers', async () => {
  const batches: number[][] = [];
  const send = async (items: number[]) => {
    batches.push(items);
    return items.map((item) => item * 10);
  };
  const { submit } = groupCommit({ send, maxBatch: 2, maxWaiting: 100 });
  expect(await Promise.all([1, 2, 3, 4, 5].map(submit))).toEqual([10, 20, 30, 40, 50]);
  expect(batches).toEqual([[1, 2], [3, 4], [5]]);
});

test('items are batched by size, and an item over the limit is sent alone', async () => {
  const batches: number[][] = [];
  const send = async (items: number[]) => {
    batches.push(items);
    return items;
  };
  const { submit } = groupCommit({ send, sizeOf: (item) => item, maxBatch: 10, maxWaiting: 100 });
  await Promise.all([4, 6, 1, 50, 3, 7].map(submit));
  expect(batches).toEqual([[4, 6], [1], [50], [3, 7]]);
});

test('items beyond the queue limit are refused at once, until a batch has been sent', async () => {
  const trips = controlledSend();
  const { submit } = groupCommit({ send: trips.send, maxBatch: 10, maxWaiting: 2 });
  const first = trips.departure();
  const answers = [submit(1)];
  await first;
  answers.push(submit(2), submit(3));
  await expect(submit(4)).rejects.toBeInstanceOf(Overloaded);

  const second = trips.departure();
  trips.bringBack();
  await second;
  const third = trips.departure();
  answers.push(submit(5));
  trips.bringBack();
  await third;
  trips.bringBack();
  expect(await Promise.all(answers)).toEqual(['answer 1', 'answer 2', 'answer 3', 'answer 5']);
});

test('batches that are not full keep an interval, which does not delay a single item', async () => {
  const starts: number[] = [];
  const send = async (items: number[]) => {
    starts.push(performance.now());
    return items;
  };
  const { submit } = groupCommit({ send, maxBatch: 3, maxWaiting: 10, minIntervalMs: 40 });
  const asked = performance.now();
  await submit(1);
  expect((starts[0] ?? 0) - asked).toBeLessThan(40);
  await submit(2);
  await Promise.all([3, 4].map(submit));
  const gaps = starts.slice(1).map((start, index) => start - (starts[index] ?? 0));
  // A timer may fire up to a millisecond early.
  for (const gap of gaps) expect(gap).toBeGreaterThan(38);
  expect(gaps).toHaveLength(2);
});

test('a full batch is sent at once, without waiting for the interval', async () => {
  const sent: number[][] = [];
  const send = async (items: number[]) => {
    sent.push(items);
    return items;
  };
  // The interval is longer than this test.
  const { submit } = groupCommit({ send, maxBatch: 2, maxWaiting: 10, minIntervalMs: 60_000 });
  await Promise.all([1, 2, 3, 4].map(submit));
  const third = submit(5);
  await new Promise(setImmediate);
  await Promise.all([third, submit(6)]);
  expect(sent).toEqual([
    [1, 2],
    [3, 4],
    [5, 6],
  ]);
});

test('a failed batch fails its own items only', async () => {
  const trips = controlledSend();
  const { submit } = groupCommit({ send: trips.send, maxBatch: 2, maxWaiting: 10 });
  const first = trips.departure();
  const answers = Promise.allSettled([1, 2, 3].map(submit));
  await first;
  const second = trips.departure();
  trips.fail(new Error('the line was cut'));
  await second;
  trips.bringBack();
  const cut = { status: 'rejected', reason: new Error('the line was cut') };
  expect(await answers).toEqual([cut, cut, { status: 'fulfilled', value: 'answer 3' }]);
});

test('drained resolves when no item is queued or in flight', async () => {
  const trips = controlledSend();
  const { submit, drained } = groupCommit({ send: trips.send, maxBatch: 1, maxWaiting: 10 });
  await drained();

  const first = trips.departure();
  const answers = [submit(1), submit(2)];
  let isDrained = false;
  const end = drained().then(() => {
    isDrained = true;
  });
  await first;
  const second = trips.departure();
  trips.bringBack();
  await second;
  expect(isDrained).toBe(false);
  trips.bringBack();
  await Promise.all([...answers, end]);
  await drained();
});
