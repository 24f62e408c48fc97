import { audit } from '../insight/audit.ts';
import { saveAuditStatus, statusOfReport } from '../insight/audit-status.ts';
import { openProvider } from '../sale/payment/open-provider.ts';
import { openSystem, runCommand } from './system.ts';

/**
 * `npm run audit`: checks every invariant and prints one JSON line; exit code 1 on any breach. The result is also shown in
 * the control room and exported as metrics, so that a timer that runs this is enough to monitor the invariants.
 */
await runCommand(async () => {
  if (process.argv.length > 2) throw new Error('expected npm run audit, and nothing more');
  const { config, collections, gate, queue, redis, close } = await openSystem();
  try {
    const { provider } = await openProvider(config, collections);
    const report = await audit(collections, gate, queue, provider);
    console.log(JSON.stringify(report));
    await saveAuditStatus(redis, statusOfReport(report));
    if (!report.ok) process.exitCode = 1;
  } finally {
    await close();
  }
});
