import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findEnvironment } from '../../commands/system.ts';
import { dataFolder } from '../../ops/local/folders.mjs';
import { findProgram } from '../../ops/local/programs/program.mjs';
import { openBenchSale, openStage } from '../systems/stage.ts';
import { type Crowd, mintTokens } from './closed-loop.ts';

const script = fileURLToPath(new URL('k6/burst.js', import.meta.url));

/** What k6 says of a crowd; it keeps no list of orders. */
export interface K6Report {
  accepted: number;
  seconds: number;
  p50Ms: number;
}

/** The k6 on the PATH, or null. */
export const findK6 = () => findProgram('k6');

/** The crowd of bench/load/k6/burst.js, as whoever uses k6 runs it. @throws when a press got no proper answer. */
export async function pressWithK6(
  k6: string,
  crowd: Omit<Crowd, 'saleId'> & { saleId: string },
): Promise<K6Report> {
  const folder = mkdtempSync(join(tmpdir(), 'stampede-k6-'));
  const [tokens, summary] = [join(folder, 'tokens.json'), join(folder, 'summary.json')];
  writeFileSync(tokens, JSON.stringify(crowd.tokens));
  const settings = {
    BASE_URL: crowd.url,
    SALE: crowd.saleId,
    TOKENS: tokens,
    PRESSES: crowd.presses,
    CONNECTIONS: crowd.connections,
  };
  const given = Object.entries(settings).flatMap(([name, value]) => ['-e', `${name}=${value}`]);
  try {
    const args = ['run', '--quiet', '--no-usage-report', `--summary-export=${summary}`, ...given, script];
    const child = spawn(k6, args, {
      stdio: ['ignore', 'ignore', 'inherit'],
      timeout: crowd.deadlineSeconds * 1_000,
    });
    const [code] = await once(child, 'exit');
    if (code !== 0) throw new Error(`k6 ended with ${code}: not every press got a proper answer`);
    const { metrics } = JSON.parse(readFileSync(summary, 'utf8'));
    const { count, rate } = metrics.iterations;
    return { accepted: metrics.accepted.count, seconds: count / rate, p50Ms: metrics.http_req_duration.med };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Opens a sale on the system that runs here, and prints how k6 presses on it. */
export async function prepareK6({ buyers, stock }: { buyers: number; stock: number }): Promise<boolean> {
  if (!findEnvironment()) throw new Error('No system runs here: start one with `npm start`');
  const { system, url, secret, close } = await openStage();
  const limitPerBuyer = Math.ceil(stock / buyers) + 1;
  const saleId = await openBenchSale(system, { name: 'Bench: k6', stock, limitPerBuyer });
  const tokens = join(dataFolder(), 'k6-tokens.json');
  writeFileSync(tokens, JSON.stringify(mintTokens(buyers, secret)), { mode: 0o600 });
  for (const name of ['burst', 'sustained']) {
    console.log(`k6 run -e BASE_URL=${url} -e SALE=${saleId} -e TOKENS=${tokens} bench/k6/${name}.js`);
  }
  await close();
  return true;
}
