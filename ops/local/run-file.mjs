import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { installDependencies } from './checks.mjs';
import { ROOT } from './folders.mjs';

/** What runs in production has no development dependencies. */
const IN_PRODUCTION = /^(commands|server|worker)\//;

/**
 * @param {string} file e.g. `commands/audit.ts`
 * @param {string[]} args
 */
export async function runFile(file, args) {
  // Not on stdout: what a command prints there is its result.
  await installDependencies((line) => console.error(line), { development: !IN_PRODUCTION.test(file) });
  const path = resolve(ROOT, file);
  process.argv = [process.argv[0] ?? 'node', path, ...args];
  await import('tsx');
  await import(pathToFileURL(path).href);
}
