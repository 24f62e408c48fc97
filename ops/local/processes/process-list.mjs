/**
 * The processes of the Stampede in a data folder. A lock file allows one start at a time. The next start stops the
 * processes that a killed one left behind.
 */
import { execFileSync } from 'node:child_process';
import {
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { readPrivately, writePrivately } from '../files/private-file.mjs';
import { signalGroup, waitUntil } from './process.mjs';

const STOP_DEADLINE_MS = 15_000;
const KILL_DEADLINE_MS = 5_000;

/**
 * @typedef {object} Listed
 * @property {string} name
 * @property {number} pid the process id, which is also the id of its process group.
 * @property {string} born the start time, because the pid may have been reused by another program.
 */
/** `folder` tells a folder from a copy of it. @typedef {{ folder?: string, url: string, starter: Listed }} Claim */
/** @typedef {Claim & { processes: Listed[] }} ProcessList */

/** @param {string} dataDir */
const fileIn = (dataDir) => join(dataDir, 'processes.json');
/** @param {string} dataDir */
const lockIn = (dataDir) => join(dataDir, 'start.lock');

/** The file by which commands find the running system. @param {string} dataDir */
export const runningFileIn = (dataDir) => join(dataDir, 'running.json');

/**
 * Locks the folder for this process, and stops processes that a killed start left behind.
 * @param {string} dataDir
 * @param {string} url the system's URL; empty for a restore.
 * @param {(line: string) => void} report
 * @returns the list of its processes
 * @throws Error, whose message is one line, when another Stampede already runs on this data folder.
 */
export async function claimFolder(dataDir, url, report) {
  /** @type {Claim} */
  const claim = { folder: identityOf(dataDir), url, starter: listed('start', process.pid) };
  await takeLock(dataDir, claim);
  try {
    await stopLeftovers(dataDir, report);
    return openProcessList(dataDir, claim);
  } catch (error) {
    rmSync(lockIn(dataDir), { force: true });
    throw error;
  }
}

/** Identifies a folder by its inode, so that a moved folder stays locked and a copy is not. @param {string} dataDir */
function identityOf(dataDir) {
  const { dev, ino } = statSync(dataDir, { bigint: true });
  return `${dev}:${ino}`;
}

/**
 * @param {string} dataDir
 * @param {Claim} claim
 */
async function takeLock(dataDir, claim) {
  const lock = lockIn(dataDir);
  for (let attempt = 0; attempt < 10; attempt++) {
    try {
      // Exclusive creation, so that only one of two concurrent starts gets the lock.
      writeFileSync(lock, JSON.stringify(claim), { flag: 'wx', mode: 0o600 });
    } catch (error) {
      if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'EEXIST') {
        rmSync(lock, { force: true });
        throw error;
      }
      // The file is empty while another start writes it, and stays empty after a power failure.
      if (readPrivately(lock) === null && attempt < 5) {
        await delay(50);
        continue;
      }
      refuseIfRunning(dataDir, readPrivately(lock));
      rmSync(lock, { force: true });
      continue;
    }
    // Two starts may both find a stale lock, and the slower may remove the faster one's, so both check again.
    await delay(50);
    const holder = readPrivately(lock);
    if (holder?.starter?.pid === process.pid) return;
  }
  throw new Error(`Another start is locking ${dataDir}: check whether it is running, or try again.`);
}

/**
 * @param {string} dataDir
 * @param {Claim | null} claim
 */
function refuseIfRunning(dataDir, claim) {
  const starter = claim?.starter;
  if (!claim || !starter || starter.pid === process.pid || !isAlive(starter)) return;
  if (claim.folder !== undefined && claim.folder !== identityOf(dataDir)) return;
  const who = claim.url
    ? `Stampede is already running at ${claim.url}`
    : `A restore into ${dataDir} is running: wait for it`;
  throw new Error(`${who} (pid ${starter.pid}).`);
}

/**
 * @param {string} dataDir
 * @param {(line: string) => void} report
 */
async function stopLeftovers(dataDir, report) {
  /** @type {ProcessList | null} */
  const list = readPrivately(fileIn(dataDir));
  // The previous version had no lock.
  refuseIfRunning(dataDir, list);
  const left = leftoversOf(dataDir, list);
  if (left.length > 0) {
    report(`Stopping processes that a killed start left behind: ${left.map(({ name }) => name).join(', ')}`);
  }
  for (const group of left) await end(group);
  rmSync(runningFileIn(dataDir), { force: true });
  rmSync(fileIn(dataDir), { force: true });
}

/**
 * @param {string} dataDir
 * @param {ProcessList | null} list
 * @returns {{ name: string, pid: number, isLeft: () => boolean }[]} in the order to stop them.
 */
function leftoversOf(dataDir, list) {
  const isHere = list?.folder === undefined || list.folder === identityOf(dataDir);
  const known = (isHere && Array.isArray(list?.processes) ? list.processes : []).filter(isAlive);
  const groups = new Map(
    known.map((one) => [one.pid, { name: one.name, pid: one.pid, isLeft: () => isAlive(one) }]),
  );
  for (const { name, group } of loggingInto(dataDir)) {
    const isLeft = () => loggingInto(dataDir).some((other) => other.group === group);
    groups.set(group, { name, pid: group, isLeft });
  }
  const order = ['mongo', 'redis', 'rabbitmq', 'worker', 'server'];
  /** @param {string} name */
  const rank = (name) => order.indexOf(name.replace(/-\d+$/, ''));
  // In reverse order of the start, because a server needs Redis to drain. nginx (-1) stops first, as it lets requests in.
  const ranked = (/** @type {string} */ name) => (rank(name) === -1 ? order.length : rank(name));
  return [...groups.values()].sort((one, other) => ranked(other.name) - ranked(one.name));
}

/** Log files that launch() gives to processes as their output. */
const OUR_LOGS = /^(nginx|redis|mongo|rabbitmq|(server|worker)-\d+|\w+[-_]service)\.log$/;

/**
 * The process groups whose output goes into this folder's logs. It also finds processes that are not in the list: nginx's
 * workers, which outlive a killed master and keep its port, and all processes when the list was lost.
 * @param {string} dataDir
 * @returns {{ name: string, group: number }[]} none on systems without /proc.
 */
function loggingInto(dataDir) {
  if (process.platform !== 'linux') return [];
  const logs = join(realpathSync(dataDir), 'logs', '/');
  const own = statOf(process.pid)?.group;
  return readdirSync('/proc').flatMap((entry) => {
    const pid = Number(entry);
    if (!Number.isInteger(pid)) return [];
    try {
      const output = readlinkSync(`/proc/${pid}/fd/2`).replace(/ \(deleted\)$/, '');
      if (!output.startsWith(logs) || !OUR_LOGS.test(output.slice(logs.length))) return [];
      const stat = statOf(pid);
      // Processes that we launch lead a session.
      if (!stat || stat.group !== stat.session || stat.group === own) return [];
      return [{ name: basename(output, '.log'), group: stat.group }];
    } catch {
      // The process has exited, or belongs to another user.
      return [];
    }
  });
}

/**
 * @param {string} dataDir
 * @param {Claim} claim
 */
function openProcessList(dataDir, claim) {
  /** @type {Map<string, Listed>} */
  const processes = new Map();
  const write = () => writePrivately(fileIn(dataDir), { ...claim, processes: [...processes.values()] });
  write();
  return {
    /** @param {string} name @param {number} pid */
    add(name, pid) {
      processes.set(name, listed(name, pid));
      write();
    },
    /** @param {string} url the final URL. */
    movedTo(url) {
      claim.url = url;
      writePrivately(lockIn(dataDir), claim);
      write();
    },
    remove() {
      rmSync(fileIn(dataDir), { force: true });
      rmSync(lockIn(dataDir), { force: true });
    },
  };
}

/** @param {{ name: string, pid: number, isLeft: () => boolean }} group */
async function end({ name, pid, isLeft }) {
  const gone = (/** @type {number} */ deadlineMs) =>
    waitUntil(() => !isLeft(), { deadlineMs, what: `${name} (pid ${pid}) did not stop`, everyMs: 50 });
  signalGroup(pid, 'SIGTERM');
  // A stopped process (SIGSTOP) handles SIGTERM only after SIGCONT.
  signalGroup(pid, 'SIGCONT');
  try {
    await gone(STOP_DEADLINE_MS);
  } catch {
    signalGroup(pid, 'SIGKILL');
    await gone(KILL_DEADLINE_MS);
  }
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
 * The start time of the process, in the system's own unit; null when there is no such process.
 * @param {number} pid
 * @returns {string | null}
 */
export function bornAt(pid) {
  if (process.platform === 'linux') return statOf(pid)?.born ?? null;
  try {
    return execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim() || null;
  } catch {
    return null;
  }
}

/**
 * @param {number} pid
 * @returns {{ born: string, group: number, session: number } | null} null when it has exited.
 */
function statOf(pid) {
  try {
    // The name in parentheses may contain anything, so fields are counted after it: the state is the 3rd, the start the 22nd.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? [];
    if (fields[0] === 'Z') return null;
    return { born: fields[19] ?? '', group: Number(fields[2]), session: Number(fields[3]) };
  } catch {
    return null;
  }
}
