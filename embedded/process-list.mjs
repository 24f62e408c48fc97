/**
 * Which processes this data folder's Stampede consists of. It keeps a second start out, and when a start was killed
 * before it could stop its processes, the next one does that.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { readPrivately, writePrivately } from './private-file.mjs';
import { signalGroup, waitUntil } from './process.mjs';

const STOP_DEADLINE_MS = 15_000;

/**
 * @typedef {object} Listed
 * @property {string} name
 * @property {number} pid
 * @property {string} born when the process began: a pid alone may be another program's by now.
 */
/** @typedef {{ url: string, starter: Listed, processes: Listed[] }} ProcessList */

/** @param {string} dataDir */
const fileIn = (dataDir) => join(dataDir, 'processes.json');

/** What the commands find the running system by. @param {string} dataDir */
export const runningFileIn = (dataDir) => join(dataDir, 'running.json');

/**
 * Refuses when a Stampede runs on this data, and stops what one that was killed left behind.
 * @param {string} dataDir
 * @param {(line: string) => void} report
 */
export async function stopLeftovers(dataDir, report) {
  /** @type {ProcessList | null} */
  const list = readPrivately(fileIn(dataDir));
  if (!list) return;
  if (isAlive(list.starter)) {
    throw new Error(`Stampede runs already at ${list.url} (pid ${list.starter.pid}).`);
  }
  // The last started stops first: a server cannot drain without the Redis below it.
  const left = list.processes.filter(isAlive).reverse();
  if (left.length > 0)
    report(`Stopping what a killed start left: ${left.map(({ name }) => name).join(', ')}`);
  for (const listed of left) await end(listed);
  rmSync(runningFileIn(dataDir), { force: true });
  rmSync(fileIn(dataDir), { force: true });
}

/**
 * @param {string} dataDir
 * @param {string} url
 */
export function openProcessList(dataDir, url) {
  /** @type {Map<string, Listed>} */
  const processes = new Map();
  const starter = listed('start', process.pid);
  const write = () => {
    writePrivately(fileIn(dataDir), { url, starter, processes: [...processes.values()] });
  };
  write();
  return {
    /** @param {string} name @param {number} pid */
    add(name, pid) {
      processes.set(name, listed(name, pid));
      write();
    },
    remove() {
      rmSync(fileIn(dataDir), { force: true });
    },
  };
}

/** @param {Listed} listed */
async function end(listed) {
  signalGroup(listed.pid, 'SIGTERM');
  await waitUntil(() => !isAlive(listed), {
    deadlineMs: STOP_DEADLINE_MS,
    what: `${listed.name} did not stop`,
  }).catch(() => signalGroup(listed.pid, 'SIGKILL'));
}

/** @param {string} name @param {number} pid @returns {Listed} */
function listed(name, pid) {
  return { name, pid, born: bornAt(pid) ?? '' };
}

/** @param {Listed} listed */
function isAlive({ pid, born }) {
  const now = bornAt(pid);
  return now !== null && now === born;
}

/**
 * When the process began, in whatever unit the machine tells it; null when there is no such process.
 * @param {number} pid
 * @returns {string | null}
 */
export function bornAt(pid) {
  try {
    if (process.platform !== 'linux') {
      return execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim() || null;
    }
    // Behind the name in parentheses, which may contain anything: state is the 3rd field, the start the 22nd.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? [];
    return fields[0] === 'Z' ? null : (fields[19] ?? null);
  } catch {
    return null;
  }
}
