/**
 * Child processes: starts one with its output in a file, waits until it is ready, and stops it with a deadline.
 *
 * A launched process leads a process group of its own, so that the terminal's Ctrl-C reaches only this process, which then
 * stops the others in a safe order. Process groups that are left when this process exits are killed.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync, readSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fullDisk, isDiskFull } from '../files/file-fault.mjs';

/** A log of this size is truncated at the next start. */
const LOG_MAX_BYTES = 20 * 1024 * 1024;
const OUTPUT_MAX_CHARACTERS = 64 * 1024;

/**
 * @typedef {object} Launched
 * @property {string} name
 * @property {number} pid
 * @property {string} logFile
 * @property {number} logBegan the offset of its own output in the log.
 * @property {() => string | null} ending the reason of its end, e.g. `exit code 1`; null while it runs.
 * @property {Promise<string>} ended resolves with the same reason; never rejects.
 */

/** Process groups to kill when this process exits. @type {Set<number>} */
const alive = new Set();
process.once('exit', () => {
  for (const pid of alive) signalGroup(pid, 'SIGKILL');
});
const ENDING_SIGNALS = /** @type {const} */ ({ SIGHUP: 1, SIGINT: 2, SIGTERM: 15 });
for (const signal of /** @type {(keyof typeof ENDING_SIGNALS)[]} */ (Object.keys(ENDING_SIGNALS))) {
  process.prependListener(signal, () => {
    // Another listener stops the processes in order. Without one the signal ends this process, which must kill them too.
    if (process.listenerCount(signal) === 1) process.exit(128 + ENDING_SIGNALS[signal]);
  });
}

/** @type {((name: string, pid: number) => void)[]} */
const launchListeners = [];

/**
 * Calls `listener` for every process launched from now on, right after its launch.
 * @param {(name: string, pid: number) => void} listener
 */
export function onLaunch(listener) {
  launchListeners.push(listener);
}

/**
 * @param {string} name
 * @param {string} command
 * @param {string[]} args
 * @param {{ logFile: string, env?: NodeJS.ProcessEnv, cwd?: string }} options
 * @returns {Promise<Launched>}
 * @throws Error when the program cannot be started at all.
 */
export async function launch(name, command, args, { logFile, env = process.env, cwd }) {
  mkdirSync(dirname(logFile), { recursive: true });
  const size = statSync(logFile, { throwIfNoEntry: false })?.size ?? 0;
  const isAnew = size > LOG_MAX_BYTES;
  const log = openSync(logFile, isAnew ? 'w' : 'a');
  const child = spawn(command, args, { env, cwd, detached: true, stdio: ['ignore', log, log] });
  closeSync(log);
  await once(child, 'spawn');

  const pid = /** @type {number} */ (child.pid);
  alive.add(pid);
  for (const listener of launchListeners) listener(name, pid);
  /** @type {string | null} */
  let ending = null;
  /** @type {Promise<string>} */
  const ended = new Promise((resolve) => {
    child.once('exit', (code, signal) => {
      alive.delete(pid);
      // Kills the group, because nginx's workers outlive a killed master and keep its port.
      signalGroup(pid, 'SIGKILL');
      ending = signal ?? `exit code ${code}`;
      resolve(ending);
    });
  });
  return { name, pid, logFile, logBegan: isAnew ? 0 : size, ending: () => ending, ended };
}

/**
 * Stops a launched process, and sends SIGKILL to its group after the deadline. It may be called twice.
 * @param {Launched} launched
 * @param {{ signal?: NodeJS.Signals, deadlineMs?: number }} [options]
 */
export async function stop(launched, { signal = 'SIGTERM', deadlineMs = 10_000 } = {}) {
  if (launched.ending() !== null) return;
  signalProcess(launched.pid, signal);
  const tooLate = new AbortController();
  const late = delay(deadlineMs, 'late', { signal: tooLate.signal }).catch(() => 'in time');
  if ((await Promise.race([launched.ended, late])) === 'late') signalGroup(launched.pid, 'SIGKILL');
  tooLate.abort();
  await launched.ended;
}

/**
 * Calls `check` until it returns something truthy, and returns that.
 * @template Value
 * @param {() => Value | Promise<Value>} check an error that it throws means 'not yet', and is part of the timeout's message.
 * @param {{ deadlineMs: number, what: string, launched?: Launched | undefined, everyMs?: number }} options
 *   with `launched`, waiting fails as soon as that process ends.
 * @returns {Promise<NonNullable<Value>>}
 */
export async function waitUntil(check, { deadlineMs, what, launched, everyMs = 25 }) {
  const deadline = Date.now() + deadlineMs;
  let reason = '';
  while (Date.now() < deadline) {
    if (launched?.ending()) {
      throw new Error(`${what}: it ended with ${launched.ending()}: ${whyEnded(launched)}`);
    }
    try {
      const value = await check();
      if (value) return value;
    } catch (error) {
      reason = ` (${error instanceof Error ? error.message : error})`;
    }
    await delay(everyMs);
  }
  throw new Error(`${what}: not after ${deadlineMs / 1_000} s${reason}`);
}

/**
 * Runs a program to its end.
 * @param {string} command
 * @param {string[]} args
 * @param {{ deadlineMs: number, env?: NodeJS.ProcessEnv, cwd?: string, onLine?: (line: string) => void }} options
 * @returns {Promise<{ ok: boolean, output: string, stdout: string, stderr: string }>} `output` is the end of both streams;
 *   `ok` is false when the program is missing or too slow, which the output says.
 */
export function run(command, args, { deadlineMs, env = process.env, cwd, onLine }) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { env, cwd, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
    const pid = child.pid;
    if (pid) alive.add(pid);
    let output = '';
    let stdout = '';
    let stderr = '';
    /** @param {string} text */
    const take = (text) => {
      output = (output + text).slice(-OUTPUT_MAX_CHARACTERS);
      for (const line of text.split('\n')) if (line.trim()) onLine?.(line.trim());
    };
    child.stdout.setEncoding('utf8').on('data', (text) => {
      stdout = (stdout + text).slice(-OUTPUT_MAX_CHARACTERS);
      take(text);
    });
    child.stderr.setEncoding('utf8').on('data', (text) => {
      stderr = (stderr + text).slice(-OUTPUT_MAX_CHARACTERS);
      take(text);
    });
    const tooLong = setTimeout(() => {
      output += `\n${command} took longer than ${deadlineMs / 1_000} s`;
      if (pid) signalGroup(pid, 'SIGKILL');
    }, deadlineMs);
    /** @param {boolean} ok */
    const end = (ok) => {
      clearTimeout(tooLong);
      if (pid) alive.delete(pid);
      resolve({ ok, output, stdout, stderr });
    };
    child.once('error', (error) => {
      output += error.message;
      end(false);
    });
    child.once('close', (code) => end(code === 0));
  });
}

const LAST_WORDS_MAX_BYTES = 64 * 1024;
/** Lines that mongod writes at every end, whatever its reason. */
const SAYS_NOTHING = /"msg":"(Writing fatal message|Got signal|BACKTRACE|Fatal assertion|.*aborting after)/;

/**
 * Why a process ended. The disk is checked first, because on a full disk the log cannot say so.
 * @param {{ logFile: string, logBegan: number }} launched
 */
function whyEnded({ logFile, logBegan }) {
  const text = endOf(logFile, logBegan);
  return isDiskFull(logFile) || NO_SPACE.test(text) ? fullDisk(dirname(logFile)) : lastWords(text);
}

const NO_SPACE = /No space left on device|ENOSPC|Disk quota exceeded/;

/**
 * The last error that a process wrote, because the lines after it only say that it stops. Of a JSON line (mongod's and our
 * own) only the message is used.
 * @param {string} text
 */
export function lastWords(text) {
  const lines = text.trimEnd().split('\n').slice(-200);
  const errors = lines.filter((line) => /^\{.*("s":"[EF]"|"level":[56]0)|^\w*Error\b.*: /.test(line));
  const line = errors.findLast((one) => !SAYS_NOTHING.test(one)) ?? errors.at(-1) ?? lines.at(-1) ?? '';
  try {
    const { msg, attr, err } = JSON.parse(line);
    const detail = attr?.error ?? attr?.message ?? err?.message;
    return [msg, detail].filter((part) => typeof part === 'string').join(': ');
  } catch {
    return line.slice(0, 1_000);
  }
}

/** @param {string} file @param {number} from */
function endOf(file, from) {
  const descriptor = openSync(file, 'r');
  try {
    const size = statSync(file).size;
    const buffer = Buffer.alloc(Math.max(0, Math.min(size - from, LAST_WORDS_MAX_BYTES)));
    readSync(descriptor, buffer, 0, buffer.length, size - buffer.length);
    return buffer.toString('utf8');
  } finally {
    closeSync(descriptor);
  }
}

/** @param {number} pid @param {NodeJS.Signals} signal */
export function signalGroup(pid, signal) {
  signalProcess(-pid, signal);
}

/** @param {number} pid @param {NodeJS.Signals} signal */
function signalProcess(pid, signal) {
  try {
    process.kill(pid, signal);
  } catch {
    // The process has already exited.
  }
}
