import type { Redis } from 'ioredis';
import { readRehearsalRequest, saveRehearsalFailure } from '../../rehearsal/status.ts';
import type { Config } from '../../runtime/config.ts';
import type { LeaderTask } from '../../runtime/leader/leader.ts';
import type { Log } from '../../runtime/observe/log.ts';
import { pause } from '../../runtime/pause.ts';
import { runCommandProcess } from '../command-process.ts';

const lookEveryMs = 1_000;
const deadlineMs = 30 * 60_000;
/** Enough for the sockets and answers of 100,000 buyers. */
const memoryMb = 2_048;

/** Runs `npm run rehearse` for the control room, in a process of its own. */
export function rehearseOnRequest(redis: Redis, config: Config, log: Log): LeaderTask {
  return async (stopping) => {
    for (; !stopping.aborted; await pause(lookEveryMs, stopping)) {
      const request = await readRehearsalRequest(redis);
      if (!request) continue;
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
