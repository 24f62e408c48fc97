import { expect, test } from 'vitest';
import type { BusEvent, DeadLetterEvent } from '../../messages/bus.ts';
import { type DeliveryRules, deliver } from '../../messages/delivery.ts';

const events = ['1', '2', '3', '4', '5'].map(
  (id): BusEvent => ({
    specversion: '1.0',
    id,
    source: '/api/sales/a-sale',
    type: 'order.paid',
    time: '2026-01-01T00:00:00.000Z',
    datacontenttype: 'application/json',
    data: {},
  }),
);

/** Delivers the events to a handler that fails by `fault`. @returns its calls, and the dead letters. */
async function handOver(
  fault: (ids: string[], call: number) => Error | undefined,
  { maxBatch = 3, ...changed }: Partial<DeliveryRules> & { maxBatch?: number } = {},
) {
  const calls: string[] = [];
  const dead: DeadLetterEvent[] = [];
  const done = await deliver(
    {
      name: 'test',
      types: ['*.*'],
      maxBatch,
      async handle(batch) {
        const ids = batch.map(({ id }) => id);
        calls.push(ids.join());
        const error = fault(ids, calls.length);
        if (error) throw error;
      },
    },
    events,
    {
      retryWaitsMs: [0, 0, 0, 0],
      isTransient: () => false,
      storeDeadLetter: async (letter) => void dead.push(letter),
      stopping: new AbortController().signal,
      ...changed,
    },
  );
  return { calls, dead, done };
}

test('events are delivered in order, and at most as many at once as the subscription allows', async () => {
  expect(await handOver(() => undefined)).toEqual({ calls: ['1,2,3', '4,5'], dead: [], done: 5 });
});

test('an event that fails five times alone becomes a dead letter, and the rest of its batch is handled', async () => {
  const { calls, dead, done } = await handOver((ids) =>
    ids.includes('2') ? new Error('cannot be read') : undefined,
  );
  expect(calls).toEqual(['1,2,3', '1', '2', '2', '2', '2', '2', '3', '4,5']);
  expect(dead).toMatchObject([{ event: { id: '2' }, error: 'cannot be read' }]);
  expect(done).toBe(5);
});

test('an error that disappears at a retry leaves no dead letter, and keeps the order', async () => {
  const { calls, dead } = await handOver((ids, call) =>
    ids.includes('2') && call < 5 ? new Error('not yet') : undefined,
  );
  expect(calls).toEqual(['1,2,3', '1', '2', '2', '2', '3', '4,5']);
  expect(dead).toEqual([]);
});

test('a temporary error is retried with the whole batch, and uses up no attempt', async () => {
  const { calls, dead } = await handOver((_ids, call) => (call === 1 ? new Error('away') : undefined), {
    isTransient: (error) => (error as Error).message === 'away',
    retryWaitsMs: [],
  });
  expect(calls).toEqual(['1,2,3', '1,2,3', '4,5']);
  expect(dead).toEqual([]);
});

test('a stop ends the wait early and leaves unhandled events in the queue', async () => {
  const stopping = new AbortController();
  const { calls, dead, done } = await handOver(
    (ids) => {
      if (ids.join() === '2') stopping.abort();
      return ids.includes('2') ? new Error('not yet') : undefined;
    },
    { stopping: stopping.signal, retryWaitsMs: [60_000] },
  );
  expect(calls).toEqual(['1,2,3', '1', '2']);
  expect({ dead, done }).toEqual({ dead: [], done: 1 });
});

test('an event that cannot be stored as a dead letter is not acknowledged', async () => {
  const storeDeadLetter = () => Promise.reject(new Error('the engine is away'));
  await expect(handOver(() => new Error('no'), { storeDeadLetter })).rejects.toThrow('the engine is away');
});
