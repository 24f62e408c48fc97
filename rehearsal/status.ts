import type { Redis } from 'ioredis';
import { z } from 'zod';
import type { RehearsalReport, RehearsalStatus } from '../insight/contract.ts';

/** The last rehearsal and the request for the next one, in Redis: servers take it in, and the workers' leader plays it. */
const lastKey = 'rehearsal:last';
const keptSeconds = 30 * 86_400;
/** Exists while one runs, and expires when its process dies. */
const runningKey = 'rehearsal:running';
const requestKey = 'rehearsal:requested';
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

export async function readRehearsalStatus(redis: Redis): Promise<Omit<RehearsalStatus, 'maxBuyers'>> {
  const [kept, running, requested] = await redis.mget(lastKey, runningKey, requestKey);
  const { last, failure }: Last = kept ? JSON.parse(kept) : { last: null, failure: null };
  return { state: running || requested ? 'running' : 'idle', last, failure };
}

/** @returns false while one runs or is requested. */
export async function requestRehearsal(redis: Redis, wanted: RehearsalRequest): Promise<boolean> {
  if ((await readRehearsalStatus(redis)).state === 'running') return false;
  return (await redis.set(requestKey, JSON.stringify(wanted), 'EX', requestedSeconds, 'NX')) === 'OK';
}

export async function readRehearsalRequest(redis: Redis): Promise<RehearsalRequest | null> {
  const kept = await redis.get(requestKey);
  return kept ? request.parse(JSON.parse(kept)) : null;
}

/** Claims the right to rehearse for so many ms; two crowds at once would measure each other. @returns whether it was free. */
export async function claimRehearsal(redis: Redis, owner: string, ms: number): Promise<boolean> {
  if (
    (await redis.set(runningKey, owner, 'PX', ms, 'NX')) !== 'OK' &&
    (await redis.get(runningKey)) !== owner
  )
    return false;
  await redis.multi().set(runningKey, owner, 'PX', ms).del(requestKey).exec();
  return true;
}

export const releaseRehearsal = async (redis: Redis): Promise<void> => void (await redis.del(runningKey));

export async function saveRehearsal(redis: Redis, report: RehearsalReport): Promise<void> {
  await save(redis, { last: report, failure: null });
}

export async function saveRehearsalFailure(redis: Redis, why: string): Promise<void> {
  const { last } = await readRehearsalStatus(redis);
  await save(redis, { last, failure: why });
}

const save = (redis: Redis, last: Last) =>
  redis.multi().set(lastKey, JSON.stringify(last), 'EX', keptSeconds).del(requestKey).exec();
