import { setTimeout as delay } from 'node:timers/promises';

/**
 * Group commit: items that arrive while one batch is being sent are sent together in the next batch. A single item is sent
 * at once, and under load the batches grow with the time that a send takes.
 */
export interface GroupCommit<Item, Answer> {
  /**
   * Resolves with this item's answer once its batch was sent.
   * @throws Overloaded when `maxWaiting` items wait already; otherwise the error of `send`.
   */
  submit(item: Item): Promise<Answer>;
  /** Resolves when no item is waiting or being sent. */
  drained(): Promise<void>;
}

export class Overloaded extends Error {}

interface Waiting<Item, Answer> {
  item: Item;
  resolve: (answer: Answer) => void;
  reject: (error: unknown) => void;
}

/** A batch whose `send` has ended. */
export interface BatchTrip<Item> {
  items: readonly Item[];
  seconds: number;
  isFailed: boolean;
}

/**
 * @param send takes a batch and returns one answer for each item, in order.
 * @param sizeOf the size of an item, in the unit of `maxBatch`; an item larger than that is a batch of its own.
 * @param minIntervalMs the minimum time between the starts of two batches, unless the second one is full. A single item
 *   after a quiet time is not delayed. It makes batches larger where each batch has a high fixed cost.
 * @param gapMs returns the minimum time from the end of a batch to the start of the next, so that other writers of the same
 *   documents get their turn.
 * @param onBack is called after every batch; it must not throw.
 */
export function groupCommit<Item, Answer>({
  send,
  sizeOf = () => 1,
  maxBatch,
  maxWaiting,
  minIntervalMs = 0,
  gapMs = () => 0,
  onBack = () => {},
}: {
  send: (items: Item[]) => Promise<Answer[]>;
  sizeOf?: (item: Item) => number;
  maxBatch: number;
  maxWaiting: number;
  minIntervalMs?: number;
  gapMs?: () => number;
  onBack?: (trip: BatchTrip<Item>) => void;
}): GroupCommit<Item, Answer> {
  let waiting: Waiting<Item, Answer>[] = [];
  let waitingSize = 0;
  let onFull: (() => void) | null = null;
  let running = false;
  let startedAt = 0;
  let endedAt = Number.NEGATIVE_INFINITY;
  let onDrained: (() => void)[] = [];

  function nextBatch(): Waiting<Item, Answer>[] {
    let size = 0;
    const end = waiting.findIndex(({ item }, index) => {
      size += sizeOf(item);
      return size > maxBatch && index > 0;
    });
    const batch = end === -1 ? waiting : waiting.slice(0, end);
    waiting = end === -1 ? [] : waiting.slice(end);
    waitingSize -= batch.reduce((total, { item }) => total + sizeOf(item), 0);
    return batch;
  }

  /** Waits, but not longer than until the next batch is full. */
  function waitUntilFull(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      onFull = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  async function run(): Promise<void> {
    running = true;
    // Waits one turn of the event loop, so that all requests read in the same poll share a batch.
    await new Promise(setImmediate);
    while (waiting.length > 0) {
      const waitMs = startedAt + minIntervalMs - performance.now();
      if (waitMs > 0 && waitingSize < maxBatch) await waitUntilFull(waitMs);
      onFull = null;
      const gapLeftMs = endedAt + gapMs() - performance.now();
      if (gapLeftMs > 0) await delay(gapLeftMs);
      startedAt = performance.now();
      const batch = nextBatch();
      const items = batch.map(({ item }) => item);
      const back = (isFailed: boolean) =>
        onBack({ items, seconds: (performance.now() - startedAt) / 1_000, isFailed });
      try {
        const answers = await send(items);
        back(false);
        batch.forEach(({ resolve }, index) => {
          resolve(answers[index] as Answer);
        });
      } catch (error) {
        back(true);
        for (const { reject } of batch) reject(error);
      }
      endedAt = performance.now();
    }
    running = false;
    for (const resolve of onDrained) resolve();
    onDrained = [];
  }

  return {
    submit(item) {
      if (waiting.length >= maxWaiting)
        return Promise.reject(new Overloaded(`${maxWaiting} items are waiting already`));
      return new Promise((resolve, reject) => {
        waiting.push({ item, resolve, reject });
        waitingSize += sizeOf(item);
        if (waitingSize >= maxBatch) onFull?.();
        if (!running) void run();
      });
    },
    drained() {
      return running ? new Promise((resolve) => onDrained.push(resolve)) : Promise.resolve();
    },
  };
}
