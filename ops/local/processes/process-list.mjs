/**
 * Which processes this data folder's Stampede consists of. One start at a time has the folder, and when a start was
 * killed before it could stop its processes, the next one does that.
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
 * @property {number} pid also the id of its process group.
 * @property {string} born when the process began: a pid alone may be another program's by now.
 */
/** `folder` tells a folder from a copy of it. @typedef {{ folder?: string, url: string, starter: Listed }} Claim */
/** @typedef {Claim & { processes: Listed[] }} ProcessList */

/** @param {string} dataDir */
const fileIn = (dataDir) => join(dataDir, 'processes.json');
/** @param {string} dataDir */
const lockIn = (dataDir) => join(dataDir, 'start.lock');

/** What the commands find the running system by. @param {string} dataDir */
export const runningFileIn = (dataDir) => join(dataDir, 'running.json');

/**
 * Takes the folder for this process, and stops what a start that was killed left behind.
 * @param {string} dataDir
 * @param {string} url where it will run; empty for a restore.
 * @param {(line: string) => void} report
 * @returns the list of its processes.
 * @throws Error of one line when a Stampede runs on this data.
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

/** A copy of a folder, made while it was in use, is nobody's; a folder that was moved is the same one. @param {string} dataDir */
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
      // Creating it fails when it exists, so that of two starts at once only one gets the lock.
      writeFileSync(lock, JSON.stringify(claim), { flag: 'wx', mode: 0o600 });
    } catch (error) {
      if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'EEXIST') {
        rmSync(lock, { force: true });
        throw error;
      }
      // It is empty for a moment while another start writes it, and for good after a power cut.
      if (readPrivately(lock) === null && attempt < 5) {
        await delay(50);
        continue;
      }
      refuseIfRunning(dataDir, readPrivately(lock));
      rmSync(lock, { force: true });
      continue;
    }
    // Of two starts that both found a dead one's lock, the slower may have removed the faster one's: both look again.
    await delay(50);
    const holder = readPrivately(lock);
    if (holder?.starter?.pid === process.pid) return;
  }
  throw new Error(`Another start is just taking ${dataDir}: see whether it runs, or try again.`);
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
    ? `Stampede runs already at ${claim.url}`
    : `A restore into ${dataDir} is at work: wait for it`;
  throw new Error(`${who} (pid ${starter.pid}).`);
}

/**
 * @param {string} dataDir
 * @param {(line: string) => void} report
 */
async function stopLeftovers(dataDir, report) {
  /** @type {ProcessList | null} */
  const list = readPrivately(fileIn(dataDir));
  // The version before had no lock.
  refuseIfRunning(dataDir, list);
  const left = leftoversOf(dataDir, list);
  if (left.length > 0) {
    report(`Stopping what a killed start left: ${left.map(({ name }) => name).join(', ')}`);
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
  // The last started stops first: a server cannot drain without the Redis below it. nginx, at -1, lets work in.
  const ranked = (/** @type {string} */ name) => (rank(name) === -1 ? order.length : rank(name));
  return [...groups.values()].sort((one, other) => ranked(other.name) - ranked(one.name));
}

/** The logs that processes of ours have for their output: see launch(). */
const OUR_LOGS = /^(nginx|redis|mongo|rabbitmq|(server|worker)-\d+|\w+[-_]service)\.log$/;

/**
 * The process groups whose output goes into this folder's logs. It finds what the list cannot: nginx's workers, which
 * outlive a master that was killed and keep its port, and everything when the list was lost.
 * @param {string} dataDir
 * @returns {{ name: string, group: number }[]} none where the machine does not tell.
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
      // What we launch leads a session of its own.
      if (!stat || stat.group !== stat.session || stat.group === own) return [];
      return [{ name: basename(output, '.log'), group: stat.group }];
    } catch {
      // It has ended, or is another user's.
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
    /** @param {string} url where it runs after all. */
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
  // One that was frozen does not hear it otherwise.
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
 * When the process began, in whatever unit the machine tells it; null when there is no such process.
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
 * @returns {{ born: string, group: number, session: number } | null} null when it has ended.
 */
function statOf(pid) {
  try {
    // Behind the name in parentheses, which may contain anything: state is the 3rd field, the start the 22nd.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? [];
    if (fields[0] === 'Z') return null;
    return { born: fields[19] ?? '', group: Number(fields[2]), session: Number(fields[3]) };
  } catch {
    return null;
  }
}
