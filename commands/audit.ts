import { audit } from '../insight/audit/audit.ts';
import { saveAuditStatus, statusOfReport } from '../insight/audit/status.ts';
import { openProvider } from '../sale/payment/open-provider.ts';
import { openSystem, runCommand } from './system.ts';

/**
 * `npm run audit`: checks every invariant and prints one JSON line; exit code 1 on any breach. Closed sales that have not
 * changed since an audit found them in order are not read again, but with `--whole` they are; with `--without-provider` the
 * payments are not compared with the provider's list. The result is also shown in the control room and exported as metrics. The
 * workers' leader runs it every few minutes, without the provider: see worker/tasks/audits.ts.
 */
await runCommand(async () => {
  const options = new Set(process.argv.slice(2));
  const isWhole = options.delete('--whole');
  const asksProvider = !options.delete('--without-provider');
  if (options.size > 0)
    throw new Error('expected npm run audit, with no option but --whole or --without-provider');
  const { config, collections, gate, queue, redis, close } = await openSystem(undefined, {
    monitorCommands: false,
  });
  try {
    const provider = asksProvider ? (await openProvider(config, collections)).provider : null;
    const report = await audit(collections, gate, queue, { provider, isWhole });
    console.log(JSON.stringify(report));
    await saveAuditStatus(redis, statusOfReport(report));
    if (!report.ok) process.exitCode = 1;
  } finally {
    await close();
  }
});
