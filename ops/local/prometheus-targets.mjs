/** Tells a Prometheus which processes there are: see ops/prometheus.yml. */
import { renameSync, writeFileSync } from 'node:fs';

/**
 * @param {string} file
 * @param {{ name: string, url: string }[]} processes ours, named like `server-1`.
 */
export function writeTargets(file, processes) {
  const targets = processes.map(({ name, url }) => ({
    targets: [new URL(url).host],
    labels: { instance: name, role: name.replace(/-\d+$/, '') },
  }));
  // Prometheus reads it whenever it changes: never half of it.
  writeFileSync(`${file}.new`, `${JSON.stringify(targets, null, 2)}\n`);
  renameSync(`${file}.new`, file);
}
