import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { runCommand } from '../../commands/system.ts';
import { ROOT } from '../../ops/local/folders.mjs';
import { isLinearizable } from './linearizable.ts';
import type { RunOptions } from './run.ts';

/**
 * `npm run nemesis -- [--minutes N] [--seed N] [--buyers N]`: see run.ts. It needs root, `unshare`, `ip`, `nft` and `tc`, and runs
 * in namespaces of its own, which end with everything in them when this process ends. Exit code 1 when something is wrong.
 */
await runCommand(async () => {
  const { values } = parseArgs({
    options: {
      minutes: { type: 'string', default: '5' },
      buyers: { type: 'string', default: '8' },
      seed: { type: 'string', default: String(randomInt(1, 2 ** 31)) },
    },
  });
  const [minutes, buyers, seed] = [values.minutes, values.buyers, values.seed].map(Number);
  if (!minutes || !(minutes > 0) || !buyers || !Number.isInteger(buyers) || !seed || !Number.isInteger(seed))
    throw new Error('expected positive numbers: --minutes, --buyers and --seed');
  const folder = await mkdtemp(join(tmpdir(), 'stampede-nemesis-'));
  const options: RunOptions = { seed, buyers, seconds: minutes * 60, folder };
  console.log(`--seed ${seed}, logs in ${folder}`);
  const isWell = await runInNamespaces(options);
  const counters = await readFile(join(folder, 'counters.json'), 'utf8').catch(() => '[]');
  const { isPossible, report } = await isLinearizable(counters);
  console.log(report);
  if (isWell && isPossible) return await rm(folder, { recursive: true });
  process.exitCode = 1;
  console.log(`Something is wrong with --seed ${seed}.`);
});

async function runInNamespaces(options: RunOptions): Promise<boolean> {
  const namespaces = ['--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];
  const entry = join(ROOT, 'test/nemesis/run.ts');
  const command = [process.execPath, '--import', 'tsx', entry, JSON.stringify(options)];
  const child = spawn('unshare', [...namespaces, ...command], { stdio: 'inherit' });
  // Its namespaces end with it.
  process.once('exit', () => child.kill('SIGKILL'));
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => process.exit(1));
  const [code] = await once(child, 'exit');
  return code === 0;
}
