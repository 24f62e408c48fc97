import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { openRedis } from '../embedded/redis.mjs';
import { openTurns } from '../sale/turns.ts';

let dir: string;
let server: Awaited<ReturnType<typeof openRedis>>;
const clients: Redis[] = [];
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'turns-'));
  server = await openRedis({ dataDir: dir });
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.disconnect();
  const redis = new Redis(server.url);
  await redis.flushall();
  redis.disconnect();
});
afterAll(async () => {
  await server.close();
  await rm(dir, { recursive: true });
});

function openClient(): Redis {
  const redis = new Redis(server.url);
  clients.push(redis);
  return redis;
}

const fullSize = 100;

/** A worker's turns, over a connection of its own, for transactions of one size. */
function openWorker({ minIntervalMs = 0, size = 0 } = {}) {
  const turns = openTurns(openClient(), () => minIntervalMs, fullSize);
  return <Done extends { conflicts: number }>(settle: () => Promise<Done>) => turns.run(settle, size);
}

/** Settling that says how many were at it at once. */
function openSettling() {
  let [running, most] = [0, 0];
  return {
    most: () => most,
    settle: async () => {
      running += 1;
      most = Math.max(most, running);
      await clients[0]?.ping();
      running -= 1;
      return { conflicts: 0 };
    },
  };
}

test('workers that do not conflict settle at the same time', async () => {
  const workers = [openWorker(), openWorker()];
  const arrivals: (() => void)[] = [];
  const bothAreHere = new Promise<void>((resolve) => arrivals.push(resolve));
  let here = 0;
  const settle = async () => {
    if (++here === 2) arrivals[0]?.();
    await bothAreHere; // Each waits for the other: in turns neither would end.
    return { conflicts: 0 };
  };
  expect(await Promise.all(workers.map((inTurn) => inTurn(settle)))).toHaveLength(2);
});

test('after a conflict of any of them they take turns, and everyone gets theirs', async () => {
  const workers = [openWorker(), openWorker(), openWorker()];
  await workers[0]?.(async () => ({ conflicts: 1 }));
  const settling = openSettling();
  // One worker settles one batch after the other, as in settlement.ts.
  const settled = await Promise.all(
    workers.map(async (inTurn) => {
      const batches = [];
      for (let n = 0; n < 5; n++) batches.push(await inTurn(settling.settle));
      return batches.length;
    }),
  );
  expect([settled, settling.most()]).toEqual([[5, 5, 5], 1]);
});

/** The least ms from the start of one transaction to the next of two workers that take turns. */
async function leastGap(minIntervalMs: number, size: number): Promise<number> {
  const workers = [openWorker({ minIntervalMs, size }), openWorker({ minIntervalMs, size })];
  await workers[0]?.(async () => ({ conflicts: 1 }));
  const starts: number[] = [];
  const settle = async () => {
    starts.push(performance.now());
    return { conflicts: 0 };
  };
  await Promise.all(
    workers.map(async (inTurn) => {
      for (let n = 0; n < 3; n++) {
        await inTurn(settle);
        // As one of them does by itself: see settlement.ts.
        if (size < fullSize) await delay(minIntervalMs);
      }
    }),
  );
  return Math.min(...starts.slice(1).map((at, n) => at - (starts[n] ?? 0)));
}

test('all of them together begin no more transactions than one of them would', async () => {
  const minIntervalMs = 60;
  // A turn begins a little after its lease does.
  expect(await leastGap(minIntervalMs, 0)).toBeGreaterThan(minIntervalMs - 10);
});

test('the fuller a transaction was, the sooner the next one may begin', async () => {
  const minIntervalMs = 4_000;
  expect(await leastGap(minIntervalMs, fullSize)).toBeLessThan(minIntervalMs / 2);
});

test('who waited for a turn has it for the transaction that follows', async () => {
  const [one, other] = [
    openTurns(openClient(), () => 0, fullSize),
    openTurns(openClient(), () => 0, fullSize),
  ];
  await one.run(async () => ({ conflicts: 1 }), 0);
  await one.wait();
  const settling = openSettling();
  let isOver = false;
  const next = other.run(settling.settle, 0).then(() => {
    isOver = true;
  });
  await delay(100);
  expect(isOver).toBe(false);
  await one.run(settling.settle, 0);
  await next;
  expect([isOver, settling.most()]).toEqual([true, 1]);
});

test('a turn whose transaction fails is over', async () => {
  const [one, other] = [openWorker(), openWorker()];
  await one(async () => ({ conflicts: 1 }));
  const failing = one(async () => {
    throw new Error('MongoDB is away');
  });
  await expect(failing).rejects.toThrow('MongoDB is away');
  const lease = await clients[0]?.exists('lease:settling');
  expect([lease, await other(async () => ({ conflicts: 0 }))]).toEqual([0, { conflicts: 0 }]);
});

test('without Redis nobody waits for a turn', async () => {
  const inTurn = openWorker();
  await inTurn(async () => ({ conflicts: 1 }));
  clients[0]?.disconnect();
  expect(await inTurn(async () => ({ conflicts: 2 }))).toEqual({ conflicts: 2 });
});
