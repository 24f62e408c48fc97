/**
 * `node run.mjs FILE …`: what `npm run` starts. It checks this machine's Node and brings the dependencies as `npm start`
 * does, and then runs the TypeScript file with the arguments behind it.
 */
import { loadOnNewNode } from './ops/local/node-version.mjs';

loadOnNewNode(async () => {
  const { runFile } = await import('./ops/local/run-file.mjs');
  await runFile(process.argv[2] || '', process.argv.slice(3));
});
