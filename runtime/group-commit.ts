import { setTimeout as delay } from 'node:timers/promises';

/**
 * Natural group commit: while one batch is on its way, what arrives gathers, and leaves together when the batch is
 * back. A lone item leaves at once, and a crowd forms batches as large as the trip is long.
 */
export interface GroupCommit<Item, Answer> {
  /**
   * Resolves with this item's answer once its batch is back.
   * @throws Overloaded when `maxWaiting` items wait already; otherwise whatever `send` threw.
   */
  submit(item: Item): Promise<Answer>;
  /** Resolves when nothing waits and nothing is on its way. */
  drained(): Promise<void>;
}

export class Overloaded extends Error {}

interface Waiting<Item, Answer> {
  item: Item;
  resolve: (answer: Answer) => void;
  reject: (error: unknown) => void;
}

/** A batch that came back. */
export interface BatchTrip<Item> {
  items: readonly Item[];
  seconds: number;
  isFailed: boolean;
}

/**
 * @param send takes a batch and returns one answer for each item, in order.
 * @param sizeOf how much of `maxBatch` an item takes up; an item larger than that travels alone.
 * @param minIntervalMs the least time between the starts of two batches, unless the second one is full. It costs a lone
 *   item nothing, and makes batches larger where a batch has a high price of its own.
 * @param gapMs the least time from the end of a batch to the start of the next, so that others get at what both write.
 * @param onBack is told of every batch; it must not throw.
 */
export function groupCommit<Item, Answer>({
  send,
  sizeOf = () => 1,
  maxBatch,
  maxWaiting,
  minIntervalMs = 0,
  gapMs = 0,
  onBack = () => {},
}: {
  send: (items: Item[]) => Promise<Answer[]>;
  sizeOf?: (item: Item) => number;
  maxBatch: number;
  maxWaiting: number;
  minIntervalMs?: number;
  gapMs?: number;
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

  function rest(ms: number): Promise<void> {
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
    // One turn of the event loop, so that what the same poll of the sockets brought leaves together.
    await new Promise(setImmediate);
    while (waiting.length > 0) {
      const restMs = startedAt + minIntervalMs - performance.now();
      if (restMs > 0 && waitingSize < maxBatch) await rest(restMs);
      onFull = null;
      const gapLeftMs = endedAt + gapMs - performance.now();
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
      if (waiting.length >= maxWaiting) return Promise.reject(new Overloaded(`${maxWaiting} already wait`));
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
