import { audit } from '../sale/audit.ts';
import { openSystem, runCommand } from './system.ts';

/** `npm run audit`: prints one JSON line with what each invariant's check found; exit code 1 on any breach. */
await runCommand(async () => {
  const { collections, gate, queue, close } = await openSystem();
  try {
    const report = await audit(collections, gate, queue);
    console.log(JSON.stringify(report));
    if (!report.ok) process.exitCode = 1;
  } finally {
    await close();
  }
});
