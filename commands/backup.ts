import { writeArchive } from './archive.ts';
import { openSystem, runCommand } from './system.ts';

/** `npm run backup -- FILE`: MongoDB as it is at one moment, in one file. Redis needs none: it is rebuilt from MongoDB. */
await runCommand(async () => {
  const [file] = process.argv.slice(2);
  if (!file) throw new Error('expected npm run backup -- FILE');
  const system = await openSystem();
  try {
    console.log(JSON.stringify(await writeArchive(system, file)));
  } finally {
    await system.close();
  }
});
