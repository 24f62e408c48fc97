import { writeArchive } from './archive.ts';
import { openSystem, runCommand } from './system.ts';

const usage = 'expected npm run backup -- FILE';

/** `npm run backup -- FILE`: writes a snapshot of MongoDB to one file. Redis needs no backup: it is rebuilt from MongoDB. */
await runCommand(async () => {
  const [file, ...rest] = process.argv.slice(2);
  if (!file || file.startsWith('-') || rest.length > 0) throw new Error(usage);
  const stopping = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => stopping.abort());
  const onLeftOut = (names: string[]) =>
    console.error(`Left out, because they are not Stampede's collections: ${names.join(', ')}`);
  const system = await openSystem();
  try {
    console.log(JSON.stringify(await writeArchive(system, file, { signal: stopping.signal, onLeftOut })));
  } finally {
    await system.close();
  }
});
