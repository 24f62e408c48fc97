import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findEnvironment } from '../../commands/system.ts';
import { dataFolder } from '../../ops/local/folders.mjs';
import { findProgram } from '../../ops/local/programs/program.mjs';
import { openBenchSale, openTestbed } from '../systems/testbed.ts';
import { type Load, mintTokens } from './closed-loop.ts';

const script = fileURLToPath(new URL('k6/burst.js', import.meta.url));

/** What k6 reports of a load. It keeps no list of orders. */
export interface K6Report {
  accepted: number;
  seconds: number;
  p50Ms: number;
}

/** The k6 on the PATH, or null. */
export const findK6 = () => findProgram('k6');

/** Runs bench/load/k6/burst.js with k6. @throws when an answer was neither 202 nor 409. */
export async function pressWithK6(
  k6: string,
  load: Omit<Load, 'saleId'> & { saleId: string },
): Promise<K6Report> {
  const folder = mkdtempSync(join(tmpdir(), 'stampede-k6-'));
  const [tokens, summary] = [join(folder, 'tokens.json'), join(folder, 'summary.json')];
  writeFileSync(tokens, JSON.stringify(load.tokens));
  const settings = {
    BASE_URL: load.url,
    SALE: load.saleId,
    TOKENS: tokens,
    PRESSES: load.presses,
    CONNECTIONS: load.connections,
  };
  const given = Object.entries(settings).flatMap(([name, value]) => ['-e', `${name}=${value}`]);
  try {
    const args = ['run', '--quiet', '--no-usage-report', `--summary-export=${summary}`, ...given, script];
    const child = spawn(k6, args, {
      stdio: ['ignore', 'ignore', 'inherit'],
      timeout: load.deadlineSeconds * 1_000,
    });
    const [code] = await once(child, 'exit');
    if (code !== 0) throw new Error(`k6 exited with ${code}: some answers were neither 202 nor 409`);
    const { metrics } = JSON.parse(readFileSync(summary, 'utf8'));
    const { count, rate } = metrics.iterations;
    return { accepted: metrics.accepted.count, seconds: count / rate, p50Ms: metrics.http_req_duration.med };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Opens a sale on the running system, and prints the k6 commands that buy at it. */
export async function prepareK6({ buyers, stock }: { buyers: number; stock: number }): Promise<boolean> {
  if (!findEnvironment()) throw new Error('No system is running here: start one with `npm start`');
  const { system, url, secret, close } = await openTestbed();
  const limitPerBuyer = Math.ceil(stock / buyers) + 1;
  const saleId = await openBenchSale(system, { name: 'Bench: k6', stock, limitPerBuyer });
  const tokens = join(dataFolder(), 'k6-tokens.json');
  writeFileSync(tokens, JSON.stringify(mintTokens(buyers, secret)), { mode: 0o600 });
  for (const name of ['burst', 'sustained']) {
    console.log(`k6 run -e BASE_URL=${url} -e SALE=${saleId} -e TOKENS=${tokens} bench/load/k6/${name}.js`);
  }
  await close();
  return true;
}
