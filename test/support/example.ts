import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { nanoid } from 'nanoid';
import { inject } from 'vitest';
import { withDatabase } from '../../ops/local/databases/database-url.mjs';
import { ROOT } from '../../ops/local/folders.mjs';
import { waitUntil } from '../../ops/local/processes/process.mjs';

/** Starts an example on a database of its own in the MongoDB of the tests. @returns what it has printed when it has started. */
export async function startExample(file: string): Promise<{ output: string; close: () => Promise<void> }> {
  const child = spawn(process.execPath, ['run.mjs', file], {
    cwd: ROOT,
    env: { ...process.env, MONGO_URL: withDatabase(inject('mongoUrl'), `example-${nanoid(6)}`) },
  });
  let output = '';
  child.stdout.on('data', (text) => (output += text));
  child.stderr.on('data', (text) => (output += text));
  await waitUntil(() => child.exitCode !== null || output.includes('Ctrl+C'), {
    deadlineMs: 90_000,
    what: `${file} has started`,
  });
  return {
    output,
    async close() {
      if (child.exitCode !== null) return;
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      await ended;
    },
  };
}
