/** Writes the scrape targets for Prometheus (file_sd): see ops/prometheus.yml. */
import { renameSync, writeFileSync } from 'node:fs';

/**
 * @param {string} file
 * @param {{ name: string, url: string }[]} processes named like `server-1`.
 */
export function writeTargets(file, processes) {
  const targets = processes.map(({ name, url }) => ({
    targets: [new URL(url).host],
    labels: { instance: name, role: name.replace(/-\d+$/, '') },
  }));
  // Prometheus reads the file at each change, so it is replaced atomically.
  writeFileSync(`${file}.new`, `${JSON.stringify(targets, null, 2)}\n`);
  renameSync(`${file}.new`, file);
}
