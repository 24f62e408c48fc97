import { audit } from '../insight/audit.ts';
import { saveAuditStatus, statusOfReport } from '../insight/audit-status.ts';
import { openSystem, runCommand } from './system.ts';

/**
 * `npm run audit`: prints one JSON line with what each invariant's check found; exit code 1 on any breach. The control
 * room and the alerts are told as well, so that a timer which runs this is all that watching the invariants takes.
 */
await runCommand(async () => {
  if (process.argv.length > 2) throw new Error('expected npm run audit, and nothing more');
  const { collections, gate, queue, redis, close } = await openSystem();
  try {
    const report = await audit(collections, gate, queue);
    console.log(JSON.stringify(report));
    await saveAuditStatus(redis, statusOfReport(report));
    if (!report.ok) process.exitCode = 1;
  } finally {
    await close();
  }
});
