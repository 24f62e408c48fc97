import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Redis } from 'ioredis';
import { Registry } from 'prom-client';
import type { RehearsalReport } from '../insight/contract.ts';
import { dataFolder } from '../ops/local/folders.mjs';
import { rehearsalPage } from '../rehearsal/page.ts';
import { rehearse } from '../rehearsal/rehearse.ts';
import {
  claimedMs,
  openRehearsalLease,
  saveRehearsal,
  saveRehearsalFailure,
  takeRehearsalRequest,
} from '../rehearsal/status.ts';
import { followClocks } from '../runtime/clock.ts';
import { openLog } from '../runtime/observe/log.ts';
import { byCommand, findEnvironment, openSystem, runCommand } from './system.ts';

const usage =
  'expected npm run rehearse -- --sale ID --buyers N [--within SECONDS] [--beside-open-sales] [--without-page]';

/**
 * `npm run rehearse -- --sale ID --buyers N`: plays hidden copies of a sale or a draft against the shop as it stands, with
 * crowds of up to N buyers, and answers go or no-go. The last line it prints is JSON; exit code 1 on no-go. It also writes a page
 * for people. The control room starts it as well: see worker/tasks/rehearsals.ts.
 */
await runCommand(async () => {
  const { saleId, buyers, withinSeconds, ...options } = readOptions();
  const environment = findEnvironment();
  if (environment && !environment.JWT_SECRET)
    throw new Error('expected JWT_SECRET, with which the buyers are signed in');
  const system = await openSystem(environment);
  const { config, redis, baseUrl } = system;
  const { connection: mongo } = system.collections;
  const clocks = followClocks(
    { redis, mongo, registry: new Registry() },
    openLog({ ...config, LOG_LEVEL: 'silent' }, 'command'),
  );
  try {
    const report = await withClaim(redis, (signal) =>
      rehearse({
        ...{ system, saleId, buyers, withinSeconds, besideOpenSales: options.besideOpenSales },
        url: config.REHEARSAL_URL || baseUrl || config.PUBLIC_URL,
        ...{ by: byCommand('npm run rehearse'), signal },
        report: (line) => console.error(line),
      }),
    );
    const { go, taken, weakest } = report;
    console.error(
      go
        ? `GO: ${buyers} buyers`
        : `NO-GO: it takes ${taken} of ${buyers} buyers; first gave way: ${weakest}`,
    );
    if (options.writesPage) console.error(`Page: ${writePage(saleId, report.at, rehearsalPage(report))}`);
    console.log(JSON.stringify(report));
    if (!go) process.exitCode = 1;
  } finally {
    clocks.close();
    await system.close();
  }
});

/** Plays while nobody else does, and stores what it found before others may. */
async function withClaim(
  redis: Redis,
  play: (signal: AbortSignal) => Promise<RehearsalReport>,
): Promise<RehearsalReport> {
  const lease = openRehearsalLease(redis);
  if (!(await lease.hold())) throw new Error('Another rehearsal runs; two would measure each other.');
  const lost = new AbortController();
  const renew = async () => {
    if (!(await lease.hold())) lost.abort(new Error('Another rehearsal has begun; two measure each other.'));
  };
  const renewal = setInterval(() => void renew().catch(() => {}), claimedMs / 3);
  try {
    await takeRehearsalRequest(redis);
    const report = await play(lost.signal);
    lost.signal.throwIfAborted();
    await saveRehearsal(redis, report);
    return report;
  } catch (error) {
    await saveRehearsalFailure(redis, (error as Error).message);
    throw error;
  } finally {
    clearInterval(renewal);
    await lease.release();
  }
}

function readOptions() {
  let values: ReturnType<typeof parse>;
  try {
    values = parse();
  } catch {
    throw new Error(usage);
  }
  const { sale: saleId } = values;
  if (!saleId) throw new Error(usage);
  return {
    saleId,
    buyers: wholeNumber('buyers', values.buyers, 100_000),
    withinSeconds: wholeNumber('within', values.within, 60),
    besideOpenSales: values['beside-open-sales'],
    writesPage: !values['without-page'],
  };
}

function parse() {
  // An id may begin with a hyphen, like an option.
  const args = process.argv.slice(2).join('\n').replace('--sale\n', '--sale=').split('\n');
  return parseArgs({
    args: args.filter(Boolean),
    options: {
      sale: { type: 'string' },
      buyers: { type: 'string', default: '' },
      within: { type: 'string', default: '5' },
      'beside-open-sales': { type: 'boolean', default: false },
      'without-page': { type: 'boolean', default: false },
    },
  }).values;
}

function wholeNumber(name: string, text: string, max: number): number {
  const value = /^\d{1,6}$/.test(text) ? Number(text) : 0;
  if (value < 1 || value > max)
    throw new Error(`--${name}: expected a whole number from 1 to ${max}, got ${text || 'nothing'}`);
  return value;
}

/** @returns the path of the file. */
function writePage(saleId: string, at: string, page: string): string {
  const folder = join(dataFolder(), 'rehearsals');
  mkdirSync(folder, { recursive: true });
  const file = join(folder, `${saleId}-${at.slice(0, 19).replaceAll(':', '')}.html`);
  writeFileSync(file, page);
  return file;
}
