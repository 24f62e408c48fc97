import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { openSystem, runCommand } from '../commands/system.ts';
import { startScratchSystem } from '../ops/local/scratch-system.ts';
import { simulate } from './run.ts';

/** `npm run simulate -- [--seed N] [--runs N] [--path PATH]`: see history.ts. */
await runCommand(async () => {
  const { values } = parseArgs({
    options: { seed: { type: 'string' }, runs: { type: 'string', default: '500' }, path: { type: 'string' } },
  });
  const seed = values.seed === undefined ? randomInt(1, 2 ** 31) : Number(values.seed);
  const runs = Number(values.runs);
  if (!Number.isInteger(seed) || !Number.isInteger(runs) || runs < 1) {
    throw new Error(`expected whole numbers for --seed and --runs, got ${values.seed} and ${values.runs}`);
  }
  const scratch = await startScratchSystem({ servers: 0, workers: 0, nginx: false });
  const system = await openSystem(scratch.env);
  try {
    console.log(`${runs} histories from --seed ${seed}`);
    await simulate(system, { seed, runs, path: values.path });
    console.log('Every invariant held in each of them.');
  } finally {
    await system.close();
    await scratch.close();
  }
});
