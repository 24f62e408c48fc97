/** Starts a server or a worker, and waits until its `/readyz` answers 200. */
import { join } from 'node:path';
import { bundleOf } from './bundle.mjs';
import { ROOT } from './folders.mjs';
import { launch, run, stop, waitUntil } from './processes/process.mjs';

const READY_DEADLINE_MS = 60_000;
/** Longer than STOP_DEADLINE_MS in runtime/config.ts, so that the process's own deadline comes first. */
const STOP_DEADLINE_MS = 12_000;
const COMMAND_DEADLINE_MS = 120_000;

/** Node's arguments that run a TypeScript file. @param {string} entry @returns {Promise<string[]>} */
async function running(entry) {
  const bundle = await bundleOf(entry);
  return bundle ? ['--enable-source-maps', bundle] : ['--import', 'tsx', entry];
}

/**
 * @param {object} options
 * @param {string} options.name e.g. `server-1`, which is also its INSTANCE.
 * @param {string} options.entry e.g. `server/main.ts`
 * @param {number} options.port
 * @param {Record<string, string>} options.env
 * @param {string} options.logsDir
 * @param {string | undefined} [options.socket] a Unix socket for nginx, besides the port.
 */
export async function openAppProcess({ name, entry, port, env, logsDir, socket }) {
  const url = `http://127.0.0.1:${port}`;
  const launched = await launch(name, 'sh', [join(ROOT, 'ops/node.sh'), ...(await running(entry))], {
    cwd: ROOT,
    env: {
      ...process.env,
      ...env,
      NODE: process.execPath,
      ...(socket && { UNIX_SOCKET: socket }),
      HOST: '127.0.0.1',
      PORT: String(port),
      INSTANCE: name,
    },
    logFile: join(logsDir, `${name}.log`),
  });
  const close = () => stop(launched, { deadlineMs: STOP_DEADLINE_MS });
  try {
    await waitUntil(() => isReady(url), {
      deadlineMs: READY_DEADLINE_MS,
      what: `${name} is not ready (its log: ${launched.logFile})`,
      launched,
    });
  } catch (error) {
    await close();
    throw error;
  }
  return { name, url, pid: launched.pid, logFile: launched.logFile, ended: launched.ended, close };
}

/** @param {string} url */
async function isReady(url) {
  const answer = await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(5_000) });
  if (answer.ok) return true;
  // The answer names the dependency that is unavailable.
  throw new Error(`${answer.status} ${(await answer.text()).slice(0, 200)}`);
}

/**
 * Runs a command to its end, and parses the last line of its stdout as JSON.
 * @param {string} entry
 * @param {string[]} args
 * @param {Record<string, string>} env
 * @param {(line: string) => void} report receives its stderr.
 * @returns {Promise<unknown>}
 */
export async function askCommand(entry, args, env, report) {
  const { ok, stdout, output, stderr } = await run(process.execPath, [...(await running(entry)), ...args], {
    cwd: ROOT,
    env: { ...process.env, ...env },
    deadlineMs: COMMAND_DEADLINE_MS,
  });
  if (!ok) throw new Error(`${entry} failed: ${output.trim().split('\n').at(-1)}`);
  if (stderr.trim()) report(stderr.trim());
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '');
}
