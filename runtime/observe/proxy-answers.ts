import { readdir, rename, stat, unlink } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { Counter, type Registry } from 'prom-client';
import { singleFlight } from '../single-flight.ts';

const takeEveryMs = 1_000;

/**
 * Counts the answers that nginx made itself, because no server sees them. nginx appends a byte for each to a file named after
 * the status. The first process that renames the file counts it, so that the sum over all processes is right; a process that
 * dies in between loses the answers it took.
 * @param folder where nginx writes the files; empty when it writes none.
 * @param onTaken is told what this process has counted.
 */
export function countProxyAnswers(
  registry: Registry,
  folder: string,
  onTaken: (status: string, answers: number) => void,
): void {
  const answers = new Counter({
    name: 'stampede_proxy_answers_total',
    help: 'Answers that nginx made itself, as no server could or one address had too many connections',
    labelNames: ['status'],
    registers: [registry],
    collect: () => (folder ? take('') : undefined),
  });
  // The series start at 0, so that Prometheus sees the first answer as an increase.
  for (const status of ['429', '500', '503']) answers.inc({ status }, 0);
  const taken = join(folder, `taken-${hostname()}-${process.pid}`);

  const take = singleFlight(async () => {
    const files = await readdir(folder).catch(() => []);
    for (const status of files.filter((file) => /^\d{3}$/.test(file))) {
      try {
        await rename(join(folder, status), taken);
        const { size } = await stat(taken);
        answers.inc({ status }, size);
        onTaken(status, size);
        await unlink(taken);
      } catch {
        // Another process has renamed the file first.
      }
    }
  });
  // The files are also taken when Prometheus is not running, for the control room.
  if (folder) setInterval(() => void take(''), takeEveryMs).unref();
}
