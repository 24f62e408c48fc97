import { hostname } from 'node:os';
import type { Redis } from 'ioredis';
import type { By } from '../../accounts/staff-log.ts';
import { removeLeftovers } from '../../rehearsal/leftovers.ts';
import { openRehearsalLease, readRehearsalRequest, saveRehearsalFailure } from '../../rehearsal/status.ts';
import type { Config } from '../../runtime/config.ts';
import type { LeaderTask } from '../../runtime/leader/leader.ts';
import type { Log } from '../../runtime/observe/log.ts';
import { pause } from '../../runtime/pause.ts';
import type { Gate } from '../../sale/admission/gate.ts';
import type { Collections } from '../../store/collections.ts';
import { runCommandProcess } from '../command-process.ts';

const lookEveryMs = 1_000;
const deadlineMs = 30 * 60_000;
/** Enough for the sockets and answers of 100,000 buyers. */
const memoryMb = 2_048;

interface Dependencies {
  redis: Redis;
  collections: Collections;
  gate: Gate;
}

/** Runs `npm run rehearse` for the control room, in a process of its own, and tidies up after one that was killed. */
export function rehearseOnRequest(dependencies: Dependencies, config: Config, log: Log): LeaderTask {
  const { redis } = dependencies;
  return async (stopping) => {
    // The leader before this one may have died with its child.
    let isTidy = false;
    for (; !stopping.aborted; await pause(lookEveryMs, stopping)) {
      if (!isTidy) isTidy = await tidyUp(dependencies, log);
      const request = await readRehearsalRequest(redis);
      if (!request) continue;
      isTidy = false;
      const { saleId, buyers, withinSeconds, besideOpenSales } = request;
      log.info({ saleId, buyers }, 'rehearsal started');
      // An id may begin with a hyphen.
      const args = [`--sale=${saleId}`, '--buyers', String(buyers), '--without-page'];
      args.push('--within', String(withinSeconds));
      if (besideOpenSales) args.push('--beside-open-sales');
      const why = await runCommandProcess('rehearse.ts', config, { args, memoryMb, deadlineMs, stopping });
      if (why === null || stopping.aborted) continue;
      log.error({ error: why, saleId }, 'the rehearsal failed');
      await saveRehearsalFailure(redis, why);
    }
  };
}

/** @returns false while a rehearsal runs, or one that was killed holds its claim. */
async function tidyUp({ redis, ...dependencies }: Dependencies, log: Log): Promise<boolean> {
  const lease = openRehearsalLease(redis);
  if (!(await lease.hold())) return false;
  try {
    const actor = { kind: 'command', id: 'worker', name: 'npm run rehearse', role: null } as const;
    const by: By = { actor, from: hostname(), requestId: null };
    const removed = await removeLeftovers(dependencies, by);
    if (removed > 0) log.warn({ removed }, 'copies or accounts of a killed rehearsal removed');
    return true;
  } finally {
    await lease.release();
  }
}
