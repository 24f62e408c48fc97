/** One of our own processes, a server or a worker: started, and ready when its `/readyz` says so. */
import { join } from 'node:path';
import { ROOT } from './folders.mjs';
import { launch, run, stop, waitUntil } from './processes/process.mjs';

const READY_DEADLINE_MS = 60_000;
/** Longer than STOP_DEADLINE_MS in runtime/config.ts: the process's own deadline comes first. */
const STOP_DEADLINE_MS = 12_000;
const COMMAND_DEADLINE_MS = 120_000;

/** With tsx the sources run as they are: there is nothing to build. @type {string[]} */
const TYPESCRIPT = ['--import', 'tsx'];
/**
 * MB for what a request leaves behind: with V8's own 16 a seventh of a server's time went into sweeping it out, and with 64
 * a sixth where 10,000 requests wait at once, as those that wait are copied each time. Code and memory are kept when nobody
 * uses them for a while: a shop that waited for noon accepted a third less in its first seconds. And the whole heap, of which
 * about 50 MB are in use, is looked through when it has 256 MB, not in each rush.
 */
const FOR_A_RUSH = [
  '--max-semi-space-size=128',
  '--no-flush-bytecode',
  '--no-memory-reducer',
  '--initial-old-space-size=256',
];

/**
 * @param {object} options
 * @param {string} options.name e.g. `server-1`, which is also its INSTANCE.
 * @param {string} options.entry e.g. `server/main.ts`
 * @param {number} options.port
 * @param {Record<string, string>} options.env
 * @param {string} options.logsDir
 * @param {string | undefined} [options.socket] where nginx finds it, besides the port.
 */
export async function openAppProcess({ name, entry, port, env, logsDir, socket }) {
  const url = `http://127.0.0.1:${port}`;
  const launched = await launch(name, process.execPath, [...FOR_A_RUSH, ...TYPESCRIPT, entry], {
    cwd: ROOT,
    env: {
      ...process.env,
      ...env,
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
  // It names the dependency that is away.
  throw new Error(`${answer.status} ${(await answer.text()).slice(0, 200)}`);
}

/**
 * Runs a command to its end and returns what its last line of stdout says.
 * @param {string} entry
 * @param {string[]} args
 * @param {Record<string, string>} env
 * @param {(line: string) => void} report is given what it says besides.
 * @returns {Promise<unknown>}
 */
export async function askCommand(entry, args, env, report) {
  const { ok, stdout, output, stderr } = await run(process.execPath, [...TYPESCRIPT, entry, ...args], {
    cwd: ROOT,
    env: { ...process.env, ...env },
    deadlineMs: COMMAND_DEADLINE_MS,
  });
  if (!ok) throw new Error(`${entry} failed: ${output.trim().split('\n').at(-1)}`);
  if (stderr.trim()) report(stderr.trim());
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '');
}
