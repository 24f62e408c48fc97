import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { pino } from 'pino';
import { expect, test } from 'vitest';
import { addJobs, openQueue } from '../../messages/bull-queue.ts';
import { openRedis } from '../../ops/local/databases/redis.mjs';
import { bullAddJob } from '../../sale/queue/bull-add-job.ts';

test('Bull’s addJob script is the version that our scripts call', () => {
  // After a change, compare its heading with the arguments in bull-queue.ts and publish.lua before the new hash goes here.
  expect(createHash('sha256').update(bullAddJob.lua).digest('hex')).toBe(
    '677eede0be6586923bcb8ab9f019fbbca23aa4a9cfe4164951169e536f5cc51a',
  );
  const heading = bullAddJob.lua.slice(0, bullAddJob.lua.indexOf(']]'));
  const keys = [...heading.matchAll(/KEYS\[\d+\] '([\w-]+)'/g)].map(([, name]) => name);
  expect(keys).toEqual(bullAddJob.keys);
});

test('a job added by our script equals one that Bull adds', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'stampede-bull-'));
  const server = await openRedis({ dataDir: dir });
  const client = () => new Redis(server.url, { maxRetriesPerRequest: null, enableReadyCheck: false });
  const redis = client();
  const queue = openQueue('events-test', redis, client, pino({ level: 'silent' }));
  try {
    await queue.isReady();
    const publishes = { key: 'publishes', name: 'test', atLeast: 0 };
    expect(await addJobs(redis, queue, [], { publishes, maxJobs: 10 })).toBe(1);
    const event = { id: 'an-event' } as Parameters<typeof addJobs>[2][number];
    expect(await addJobs(redis, queue, [event], { publishes, maxJobs: 10 })).toBe(2);
    const [ours] = await queue.getWaiting();
    const options = { removeOnComplete: true, attempts: 1, delay: 0, jobId: 'of-bull' };
    await queue.add({ events: [event] }, options);
    const recordOf = async (id: unknown) => {
      const { timestamp, opts = '{}', ...fields } = await redis.hgetall(queue.toKey(String(id)));
      expect(Number(timestamp)).toBeGreaterThan(0);
      const { jobId: _, timestamp: __, ...others } = JSON.parse(opts);
      return { ...fields, opts: others };
    };
    expect(await recordOf(ours?.id)).toEqual(await recordOf('of-bull'));
    expect(await redis.lrange(queue.toKey('wait'), 0, -1)).toEqual(['of-bull', ours?.id]);
    expect((await queue.getNextJob())?.data).toEqual({ events: [event] });
  } finally {
    await queue.close();
    redis.disconnect();
    await server.close();
    await rm(dir, { recursive: true });
  }
});
