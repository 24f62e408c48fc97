import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { findRabbitHere } from '../ops/local/databases/rabbit.mjs';
import { ROOT } from '../ops/local/folders.mjs';
import { installFromDebian } from '../ops/local/programs/program.mjs';

/**
 * `npm test`, and `npm test -- test/sale/buying.test.ts -t 'a title'`: runs vitest with these arguments. MongoDB, Redis and
 * nginx are brought by the tests as by `npm start`; what is left out for lack of a program is named in the end.
 */
const args = process.argv.slice(2);
// With a choice of tests, what they need is there or they say so.
if (args.length === 0 && !findRabbitHere()) await installFromDebian('rabbitmq-server', console.log);
const vitest = join(ROOT, 'node_modules/vitest/vitest.mjs');
const child = spawn(process.execPath, [vitest, 'run', ...args], { cwd: ROOT, stdio: 'inherit' });
// A terminal's Ctrl-C reaches vitest as well, which then ends what it started.
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    if (signal === 'SIGTERM') child.kill(signal);
  });
}
const [code] = await once(child, 'close');
process.exitCode = code ?? 1;
