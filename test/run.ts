import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { findRabbitHere } from '../ops/local/databases/rabbit.mjs';
import { ROOT } from '../ops/local/folders.mjs';
import { installFromDebian } from '../ops/local/programs/program.mjs';

/**
 * `npm test`, and `npm test -- test/sale/buying.test.ts -t 'a title'`: runs vitest with these arguments. The tests find or
 * download MongoDB, Redis and nginx as `npm start` does; tests that need a missing program are skipped and listed at the end.
 */
const args = process.argv.slice(2);
// Installs RabbitMQ only for a run of all tests; a single test without it is skipped.
if (args.length === 0 && !findRabbitHere()) await installFromDebian('rabbitmq-server', console.log);
const vitest = join(ROOT, 'node_modules/vitest/vitest.mjs');
const child = spawn(process.execPath, [vitest, 'run', ...args], { cwd: ROOT, stdio: 'inherit' });
// A terminal's Ctrl-C also reaches vitest, which then stops its processes.
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    if (signal === 'SIGTERM') child.kill(signal);
  });
}
const [code] = await once(child, 'close');
process.exitCode = code ?? 1;
