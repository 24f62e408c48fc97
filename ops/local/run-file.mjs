import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { bundleOf } from './bundle.mjs';
import { installDependencies } from './checks.mjs';
import { ROOT } from './folders.mjs';

/** Files that also run in production, without development dependencies. */
const IN_PRODUCTION = /^(commands|server|worker)\//;

/**
 * @param {string} file e.g. `commands/audit.ts`
 * @param {string[]} args
 */
export async function runFile(file, args) {
  // Progress goes to stderr, because a command's stdout is its result.
  await installDependencies((line) => console.error(line), { development: !IN_PRODUCTION.test(file) });
  const path = resolve(ROOT, file);
  process.argv = [process.argv[0] ?? 'node', path, ...args];
  const bundle = await bundleOf(file);
  if (bundle) process.setSourceMapsEnabled(true);
  else await import('tsx');
  await import(pathToFileURL(bundle ?? path).href);
}
