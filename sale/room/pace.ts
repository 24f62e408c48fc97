import { maxInside } from '../contract.ts';

/** How fast people are called into a waiting room, and how fast it moves on. Pure. */

/** What a waiting room has to bear in mind. */
export interface RoomLoad {
  /** Units that are neither sold, held nor asked for by a purchase that is accepted. */
  free: number;
  /** People with a pass who have not bought yet. */
  inside: number;
  /** People who were called a moment ago and have not come yet. */
  answering: number;
  /** Everybody who is called or inside, also those who do not answer. */
  invited: number;
  /** Accepted purchases that are not settled. */
  backlog: number;
  /** People whom the maximum pace allows to call now. */
  paced: number;
  /** People whom the shop lets in besides. */
  extra: number;
  /** Only in front of another site, where nothing is bought here: how many may be called or inside at once. */
  maxInside?: number | undefined;
}

/** So many people at most are called in one round, in one transaction. */
const maxCalls = 500;
/** With more purchases waiting to be settled than this, nobody else is called. */
const maxBacklog = 5_000;
/** The shop lets in no more people for each free unit than this, so that few of them find nothing. */
const maxPeoplePerUnit = 3;

/**
 * How many people are to be called now, and how many of them beyond the pace. Each person who may buy has a unit to buy:
 * with none free nobody is called, and while one is free somebody is, unless the maximum pace or the backlog forbids it. In front
 * of another site neither stock nor backlog matters.
 */
export function callsNow(load: RoomLoad): { calls: number; beyond: number } {
  const { free, inside, answering, invited, backlog, paced, extra } = load;
  const room = Math.max(0, Math.min((load.maxInside ?? maxInside) - invited, maxCalls));
  if (load.maxInside !== undefined) {
    const calls = Math.min(paced, room);
    const beyond = Math.min(extra, room - calls);
    return { calls: calls + beyond, beyond };
  }
  if (free <= 0) return { calls: 0, beyond: 0 };
  const useful = Math.min(free - inside - answering, maxBacklog - backlog, paced);
  const calls = Math.max(0, Math.min(useful, room));
  const bearable = maxPeoplePerUnit * free - inside - answering - calls;
  const beyond = Math.max(0, Math.min(extra, room - calls, bearable));
  return { calls: calls + beyond, beyond };
}

/** The usual maximum: 500 a second. */
const usualPerMinute = 30_000;
/** After a rest the pace allows no more at once than in this time. */
const burstMs = 1_000;

/**
 * The maximum pace, as a generic cell rate algorithm.
 * @param nextCallAt when the next person may be called; null when nobody was called yet.
 * @returns how many may be called now, and the next time after so many calls.
 */
export function paceOf(
  { perMinute = usualPerMinute, nextCallAt }: { perMinute?: number | undefined; nextCallAt: Date | null },
  now: Date,
): { paced: number; nextAfter: (calls: number) => Date } {
  const everyMs = 60_000 / perMinute;
  const dueMs = Math.max(nextCallAt?.getTime() ?? 0, now.getTime() - Math.max(0, burstMs - everyMs));
  const lateMs = now.getTime() - dueMs;
  return {
    paced: lateMs < 0 ? 0 : Math.floor(lateMs / everyMs) + 1,
    nextAfter: (calls) => new Date(dueMs + calls * everyMs),
  };
}

interface Progress {
  at: Date;
  calledUpTo: number;
}

const [shortMs, longMs] = [15_000, 60_000];
/** Before that nothing can be said: the first calls only fill the room. */
const firstMs = 3_000;

/** The progress that is kept to measure the pace, with a step to this place. */
export function withStep(recent: Progress[], step: Progress): Progress[] {
  const since = step.at.getTime() - longMs;
  const older = recent.filter(({ at }) => at.getTime() <= since).slice(-1);
  const newer = recent.filter(({ at }) => at.getTime() > since);
  const last = newer.at(-1);
  // Steps within a second are one, so that there are never more than about sixty.
  const isSame = newer.length > 1 && last && step.at.getTime() - last.at.getTime() < 1_000;
  return [...older, ...(isSame ? newer.slice(0, -1) : newer), isSame ? { ...step, at: last.at } : step];
}

/** By how many places a minute the room moved on in the last quarter of a minute and in the last minute, the slower first. */
export function speedsOf(recent: Progress[], now: Date): { slowest: number; fastest: number } {
  const [first] = recent;
  const last = recent.at(-1);
  if (!first || !last || now.getTime() - first.at.getTime() < firstMs) return { slowest: 0, fastest: 0 };
  const speeds = [shortMs, longMs].map((windowMs) => {
    const fromMs = Math.max(now.getTime() - windowMs, first.at.getTime());
    const before = recent.findLast(({ at }) => at.getTime() <= fromMs) ?? first;
    return ((last.calledUpTo - before.calledUpTo) * 60_000) / (now.getTime() - fromMs);
  });
  return { slowest: Math.min(...speeds), fastest: Math.max(...speeds) };
}
