import type { Redis } from 'ioredis';
import type { Log } from '../observe/log.ts';
import { pause } from '../pause.ts';
import { type LeaderTask, repeatTask } from './leader.ts';
import { type Lease, openLease } from './lease.ts';

export interface SharedLeasesOptions {
  /** A connection whose commands fail while Redis is unavailable. */
  redis: Redis;
  /** The leases, of which each candidate holds its share. */
  names: string[];
  /** A holder that does not renew a lease for this long is replaced. */
  ttlMs: number;
  log: Log;
  /** Whether this process can hold leases; while it cannot, it leaves them to others. */
  isFit: () => boolean;
}

export interface SharedLeases {
  /** The leases that this process holds. */
  held(): string[];
  /**
   * Tells how many leases each living candidate holds, this one among them. A candidate that holds at least two more than
   * another gives up half of the difference.
   */
  balance(counts: number[]): void;
  close(): Promise<void>;
}

/** Work that takes longer to end is not waited for: MongoDB may be away. */
const handOverMs = 1_000;

/**
 * Spreads leases in Redis evenly over the candidates. `work` runs for each lease in the process that holds it; its signal aborts
 * when this process closes, becomes unfit, loses the lease or gives it up. `taken` aborts later, when another process has it: work
 * that cannot end before can leave the rest to that process. Work that throws is started again after a wait.
 */
export function openSharedLeases(
  { redis, names, ttlMs, log, isFit }: SharedLeasesOptions,
  work: (name: string, signal: AbortSignal, taken: AbortSignal) => ReturnType<LeaderTask>,
): SharedLeases {
  /** A lease that nobody takes for this long is taken by a candidate that has its share already. */
  const orphanedMs = ttlMs / 6;
  /** After leases were given up, the others' counts are outdated for this long. */
  const outdatedMs = ttlMs;
  const leases = new Map(names.map((name) => [name, openLease(redis, name, ttlMs)]));
  const leaseOf = (name: string) => leases.get(name) as Lease;
  const held = new Map<string, AbortController>();
  /** The work for each lease, which may outlast it. */
  const working = new Map<string, { ended: Promise<void>; taken: AbortController }>();
  /** When a lease was first seen to be free. */
  const freeSince = new Map<string, number>();
  const closing = new AbortController();
  let candidates = 1;
  let excess = 0;
  let countsAreNewAt = 0;
  let logged = '';

  function begin(name: string): void {
    const end = new AbortController();
    freeSince.delete(name);
    held.set(name, end);
    const before = working.get(name);
    // Work that is still running after this process got the lease back may go on.
    const taken = before && !before.taken.signal.aborted ? before.taken : new AbortController();
    const verified = async (signal: AbortSignal) => {
      if (await leaseOf(name).hold()) await work(name, signal, taken.signal);
      else lose(name);
    };
    const ended = Promise.resolve(before?.ended)
      .then(() => repeatTask(name, 'share', verified, end.signal, log))
      .then(() => {
        if (working.get(name)?.ended === ended) working.delete(name);
      });
    working.set(name, { ended, taken });
  }

  function lose(name: string): void {
    held.get(name)?.abort();
    held.delete(name);
  }

  /** Ends the work, and releases the lease when it has ended, or takes long to. */
  async function giveUp(name: string): Promise<void> {
    lose(name);
    await Promise.race([working.get(name)?.ended, pause(handOverMs)]);
    await leaseOf(name).release();
  }

  async function renew(name: string): Promise<void> {
    if (!(await leaseOf(name).hold())) lose(name);
  }

  /** Does this for each name; the node of a cluster that holds one lease may be away while the others answer. */
  async function forEach(all: string[], ask: (name: string) => Promise<void>): Promise<void> {
    const asked = await Promise.allSettled(all.map(ask));
    const failed = asked.filter(({ status }) => status === 'rejected');
    const [first] = failed as PromiseRejectedResult[];
    if (first && failed.length === all.length) throw first.reason;
  }

  async function takeFree(name: string): Promise<void> {
    const now = performance.now();
    const since = freeSince.get(name) ?? now;
    freeSince.set(name, since);
    const share = Math.ceil(names.length / candidates);
    if (held.size >= share && now - since < orphanedMs) return;
    if (await leaseOf(name).hold()) begin(name);
  }

  /** Whether another process has a lease that this one does not hold. */
  async function isTaken(name: string): Promise<boolean> {
    if (!(await leaseOf(name).isHeld())) return false;
    freeSince.delete(name);
    working.get(name)?.taken.abort();
    return true;
  }

  async function pass(): Promise<void> {
    if (!isFit()) {
      await Promise.all([...held.keys()].map(giveUp));
      await forEach([...working.keys()], async (name) => void (await isTaken(name)));
      return;
    }
    await forEach([...held.keys()], renew);
    const surplus = [...held.keys()].slice(0, excess);
    excess = 0;
    await Promise.all(surplus.map(giveUp));
    // Each candidate begins elsewhere, so that they do not ask for the same one.
    const start = Math.floor(Math.random() * names.length);
    const others = [...names.slice(start), ...names.slice(0, start)].filter((name) => !held.has(name));
    const free = new Set<string>();
    await forEach(others, async (name) => {
      if (!(await isTaken(name))) free.add(name);
    });
    for (const name of others) if (free.has(name) && !closing.signal.aborted) await takeFree(name);
  }

  async function run(): Promise<void> {
    let isFailing = false;
    while (!closing.signal.aborted) {
      try {
        await pass();
        const all = [...held.keys()].sort().join(' ');
        if (all !== logged) log.info({ leases: all }, 'the leases of this process have changed');
        logged = all;
        isFailing = false;
      } catch (error) {
        // While Redis is unavailable nobody else can take a lease.
        if (!isFailing) log.warn({ error: (error as Error).message }, 'renewing leases failed, retrying');
        isFailing = true;
      }
      await pause(ttlMs / 6, closing.signal);
    }
    await Promise.all([...held.keys()].map((name) => giveUp(name).catch(() => {})));
  }

  const running = run();
  return {
    held: () => [...held.keys()],
    balance(counts) {
      candidates = Math.max(1, counts.length);
      if (performance.now() < countsAreNewAt) return;
      excess = Math.max(0, Math.floor((held.size - Math.min(held.size, ...counts)) / 2));
      if (excess > 0) countsAreNewAt = performance.now() + outdatedMs;
    },
    async close() {
      closing.abort();
      await running;
    },
  };
}
