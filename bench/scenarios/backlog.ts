import { drainBacklog } from '../measure/drain.ts';
import { saveResult } from '../report/results.ts';
import { spreadsOf } from '../report/statistics.ts';
import { figure, spread } from '../report/table.ts';
import { stampedeOn } from '../systems/sides.ts';
import { auditTestbed, openOwnTestbed } from '../systems/testbed.ts';

export interface BacklogOptions {
  rounds: number;
  backlog: number;
  buyers: number;
}

/** How fast a new worker drains the backlog of an outage. @returns whether the invariants hold. */
export async function backlog({ rounds, backlog, buyers }: BacklogOptions): Promise<boolean> {
  const side = stampedeOn(await openOwnTestbed());
  try {
    const drains = [];
    for (let n = 0; n < rounds; n++) {
      const drain = await drainBacklog(side, { backlog, buyers, freshWorker: true });
      drains.push(drain);
      console.log(`round ${n + 1}/${rounds}: ${backlog} drained at ${figure(drain.drainedPerSecond)}/s`);
    }
    const ok = await auditTestbed(side.testbed.system);
    const { drainedPerSecond, firstHalfPerSecond, secondHalfPerSecond } = spreadsOf(drains);
    console.log(`drained/s ${spread(drainedPerSecond)}`);
    console.log(`first half ${spread(firstHalfPerSecond)}, second half ${spread(secondHalfPerSecond)}`);
    console.log(`invariants ${ok ? 'hold' : 'are BROKEN'}`);
    console.log(`\nWritten to ${saveResult('backlog', { options: { rounds, backlog, buyers }, drains })}`);
    return ok;
  } finally {
    await side.close();
  }
}
