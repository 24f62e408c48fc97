import { readdir, rename, stat, unlink } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { Counter, type Registry } from 'prom-client';
import { singleFlight } from '../single-flight.ts';

const takeEveryMs = 5_000;

/**
 * Counts what nginx answered itself, where no server could: nobody else sees those. nginx appends a byte for each to a
 * file named after the status. Whichever process renames the file first counts it, so their sum is right; one that dies
 * in between loses what it took.
 * @param folder where nginx leaves the files; empty for nowhere.
 */
export function countProxyAnswers(registry: Registry, folder: string): void {
  const answers = new Counter({
    name: 'stampede_proxy_answers_total',
    help: 'Answers that nginx made itself, as no server could or one address had too many connections',
    labelNames: ['status'],
    registers: [registry],
    collect: () => (folder ? take('') : undefined),
  });
  // From 0, so that the first is a rise.
  for (const status of ['429', '500', '503']) answers.inc({ status }, 0);
  const taken = join(folder, `taken-${hostname()}-${process.pid}`);

  const take = singleFlight(async () => {
    const files = await readdir(folder).catch(() => []);
    for (const status of files.filter((file) => /^\d{3}$/.test(file))) {
      try {
        await rename(join(folder, status), taken);
        answers.inc({ status }, (await stat(taken)).size);
        await unlink(taken);
      } catch {
        // Another process was quicker.
      }
    }
  });
  // Also when nobody asks for the figures, so that the files stay small.
  if (folder) setInterval(() => void take(''), takeEveryMs).unref();
}
