import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { bundleOf } from '../ops/local/bundle.mjs';
import type { Config } from '../runtime/config.ts';

interface Options {
  args: string[];
  memoryMb: number;
  deadlineMs: number;
  stopping: AbortSignal;
}

/**
 * Runs a command of the commands/ folder in a process of its own with a bound of time and memory, so that neither servers nor
 * workers wait for it.
 * @param name its file, e.g. `audit.ts`.
 * @returns why it came to no result; null when it printed one, whatever it says.
 */
export async function runCommandProcess(
  name: string,
  config: Config,
  { args, memoryMb, deadlineMs, stopping }: Options,
): Promise<string | null> {
  const command = `commands/${name}`;
  const bundle = await bundleOf(command);
  const source = fileURLToPath(new URL(`../${command}`, import.meta.url));
  const script = bundle ? [bundle] : ['--import', import.meta.resolve('tsx'), source];
  return await new Promise((resolve) => {
    execFile(
      process.execPath,
      [`--max-old-space-size=${memoryMb}`, ...script, ...args],
      {
        env: { ...process.env, MONGO_URL: config.MONGO_URL, REDIS_URL: config.REDIS_URL },
        timeout: deadlineMs,
        killSignal: 'SIGKILL',
        signal: stopping,
        maxBuffer: 1_048_576,
      },
      (error, stdout, stderr) => {
        // A result that is not good fails as well, and has been printed.
        if (!error || stdout.trim()) return resolve(null);
        const lines = stderr.trim().split('\n');
        const fault = lines.find((line) => /heap out of memory/.test(line)) ?? lines.at(-1);
        if (error.signal === 'SIGKILL') return resolve(`it took longer than ${deadlineMs} ms`);
        resolve(fault?.slice(0, 300) || error.message);
      },
    );
  });
}
