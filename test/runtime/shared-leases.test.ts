import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { openRedis } from '../../ops/local/databases/redis.mjs';
import { waitUntil } from '../../ops/local/processes/process.mjs';
import { openSharedLeases, type SharedLeases } from '../../runtime/leader/shared-leases.ts';

const ttlMs = 600;
const names = Array.from({ length: 9 }, (_, n) => `share-${n}`);

let dir: string;
let server: Awaited<ReturnType<typeof openRedis>>;
let beats: NodeJS.Timeout;
let candidates: Candidate[] = [];
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'leases-'));
  server = await openRedis({ dataDir: dir });
  // As the workers' heartbeats tell each other who is there and how much each has.
  beats = setInterval(() => {
    const living = candidates.filter(({ isFit }) => isFit);
    for (const { leases } of living) leases.balance(living.map((each) => each.leases.held().length));
  }, 100);
});
afterEach(async () => {
  for (const candidate of candidates) await candidate.close();
});
afterAll(async () => {
  clearInterval(beats);
  await server.close();
  await rm(dir, { recursive: true });
});

interface Candidate {
  isFit: boolean;
  redis: Redis;
  leases: SharedLeases;
  /** The leases whose work runs. */
  working: Set<string>;
  close(): Promise<void>;
}

function openCandidate(): Candidate {
  const redis = new Redis(server.url);
  const working = new Set<string>();
  const leases = openSharedLeases(
    { redis, names, ttlMs, log: pino({ level: 'silent' }), isFit: () => candidate.isFit },
    async (name, signal) => {
      working.add(name);
      if (!signal.aborted) await once(signal, 'abort');
      working.delete(name);
    },
  );
  const candidate: Candidate = {
    isFit: true,
    redis,
    leases,
    working,
    async close() {
      candidates = candidates.filter((other) => other !== candidate);
      await leases.close();
      redis.disconnect();
    },
  };
  candidates.push(candidate);
  return candidate;
}

/** Waits until each lease has one worker, and these candidates have so many. */
const areSpread = (...counts: number[]) =>
  waitUntil(
    () => {
      const all = candidates.flatMap(({ working }) => [...working]);
      const sizes = candidates.map(({ working }) => working.size).sort();
      return new Set(all).size === names.length && all.length === names.length && `${sizes}` === `${counts}`;
    },
    { deadlineMs: 20_000, what: `the leases are spread as ${counts}` },
  );

test('candidates share the leases evenly, also when one comes or goes', async () => {
  const first = openCandidate();
  await areSpread(9);
  openCandidate();
  await areSpread(4, 5);
  const third = openCandidate();
  await areSpread(3, 3, 3);
  await first.close();
  await areSpread(4, 5);
  await third.close();
  await areSpread(9);
});

test('the others take the leases of one that dies, or is not fit any more', async () => {
  const [dead, unfit] = [openCandidate(), openCandidate(), openCandidate()];
  await areSpread(3, 3, 3);
  // It renews nothing any more.
  dead.redis.disconnect();
  dead.working.clear();
  candidates = candidates.filter((candidate) => candidate !== dead);
  await areSpread(4, 5);
  unfit.isFit = false;
  await areSpread(0, 9);
  expect(unfit.working.size).toBe(0);
  unfit.isFit = true;
  await areSpread(4, 5);
  await dead.leases.close();
});
