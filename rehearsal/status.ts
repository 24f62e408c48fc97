import type { Redis } from 'ioredis';
import { z } from 'zod';
import type { RehearsalReport, RehearsalStatus } from '../insight/contract.ts';
import { openLease } from '../runtime/leader/lease.ts';

/** The last rehearsal and the request for the next one, in Redis: servers take it in, and the workers' leader plays it. */
const keysFor = (redis: Redis) => {
  // On Redis Cluster they have one hash tag, because one command reads or writes both.
  const tag = redis.isCluster ? '{rehearsal}' : 'rehearsal';
  return { last: `${tag}:last`, request: `${tag}:requested` };
};
const keptSeconds = 30 * 86_400;
/** A request that no worker takes up is forgotten. */
const requestedSeconds = 30;

const request = z.object({
  saleId: z.string(),
  buyers: z.number(),
  withinSeconds: z.number(),
  besideOpenSales: z.boolean(),
});
export type RehearsalRequest = z.infer<typeof request>;

type Last = Pick<RehearsalStatus, 'last' | 'failure'>;

/** The claim of a process that has died expires after this time. */
export const claimedMs = 10_000;

/** The right to rehearse: two crowds at once would measure each other. */
export const openRehearsalLease = (redis: Redis) => openLease(redis, 'rehearsal', claimedMs);

export async function readRehearsalStatus(redis: Redis): Promise<Omit<RehearsalStatus, 'maxBuyers'>> {
  const keys = keysFor(redis);
  const [[kept, requested], isHeld] = await Promise.all([
    redis.mget(keys.last, keys.request),
    openRehearsalLease(redis).isHeld(),
  ]);
  const { last, failure }: Last = kept ? JSON.parse(kept) : { last: null, failure: null };
  return { state: isHeld || requested ? 'running' : 'idle', last, failure };
}

/** @returns false while one runs or is requested. */
export async function requestRehearsal(redis: Redis, wanted: RehearsalRequest): Promise<boolean> {
  if ((await readRehearsalStatus(redis)).state === 'running') return false;
  const { request } = keysFor(redis);
  return (await redis.set(request, JSON.stringify(wanted), 'EX', requestedSeconds, 'NX')) === 'OK';
}

export async function readRehearsalRequest(redis: Redis): Promise<RehearsalRequest | null> {
  const kept = await redis.get(keysFor(redis).request);
  return kept ? request.parse(JSON.parse(kept)) : null;
}

/** Called once the lease is held, so that the request is not played again. */
export async function takeRehearsalRequest(redis: Redis): Promise<void> {
  await redis.del(keysFor(redis).request);
}

export async function saveRehearsal(redis: Redis, report: RehearsalReport): Promise<void> {
  await save(redis, { last: report, failure: null });
}

export async function saveRehearsalFailure(redis: Redis, why: string): Promise<void> {
  const { last } = await readRehearsalStatus(redis);
  await save(redis, { last, failure: why });
}

function save(redis: Redis, last: Last) {
  const keys = keysFor(redis);
  return redis.multi().set(keys.last, JSON.stringify(last), 'EX', keptSeconds).del(keys.request).exec();
}
