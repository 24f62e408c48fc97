/**
 * `node run.mjs FILE …`: the entry point of all `npm run` scripts. It checks the Node version, installs the dependencies as
 * `npm start` does, and runs the TypeScript file with the remaining arguments.
 */
import { loadOnNewNode } from './ops/local/node-version.mjs';

loadOnNewNode(async () => {
  const { runFile } = await import('./ops/local/run-file.mjs');
  await runFile(process.argv[2] || '', process.argv.slice(3));
});
