import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { dataFolder, ROOT } from '../ops/local/folders.mjs';
import { tryPort } from '../ops/local/processes/port.mjs';
import { findProgram, installFromDebian } from '../ops/local/programs/program.mjs';
import { runCommand } from './system.ts';

const port = 9_090;
const address = `127.0.0.1:${port}`;

/** `npm run monitor`: runs Prometheus with the alerts for the system of `npm start`, until Ctrl-C. */
await runCommand(async () => {
  const prometheus = findProgram('prometheus') ?? (await bring());
  const dataDir = dataFolder();
  const targets = join(dataDir, 'prometheus-targets.json');
  if (!existsSync(targets)) {
    throw new Error('No system is running to monitor: start one with `npm start`.');
  }
  const tried = await tryPort(port);
  if (!tried.free)
    throw new Error(`Port ${port} is taken: ${tried.why}. Stop that, or open http://${address}`);
  console.log(`Prometheus is at http://${address}; the control room of the shop has the same figures`);
  console.log(
    'Grafana: `docker compose --profile monitoring up` brings it with the dashboard; one of your own takes ' +
      `ops/grafana/stampede.json, with http://${address} as its Prometheus`,
  );
  const config = join(dataDir, 'prometheus.yml');
  writeFileSync(config, configFor(targets));
  const args = [
    `--config.file=${config}`,
    `--storage.tsdb.path=${join(dataDir, 'prometheus')}`,
    `--web.listen-address=${address}`,
  ];
  const child = spawn(prometheus, args, { cwd: ROOT, stdio: 'inherit' });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal));
  const [code] = await once(child, 'close');
  if (code) throw new Error(`Prometheus ended with exit code ${code}; its last lines above say why.`);
});

/** Rewrites the relative paths of ops/prometheus.yml, because it is read from another folder. */
function configFor(targets: string): string {
  const ops = join(ROOT, 'ops');
  return readFileSync(join(ops, 'prometheus.yml'), 'utf8')
    .replace('../.data/prometheus-targets.json', () => JSON.stringify(targets))
    .replace('[alerts.yml]', () => JSON.stringify([join(ops, 'alerts.yml')]));
}

async function bring(): Promise<string> {
  const installed = (await installFromDebian('prometheus', console.error)) ? findProgram('prometheus') : null;
  if (installed) return installed;
  throw new Error(
    'Prometheus is not on this machine: `apt-get install prometheus` (as root), or ' +
      '`docker compose --profile monitoring up`, which brings it with the shop.',
  );
}
