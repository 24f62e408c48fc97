/**
 * Child processes: start one with its output in a file, wait until it answers, stop it for sure.
 *
 * A launched process leads a process group of its own, so the terminal's Ctrl-C reaches only us: whoever launched
 * the processes stops them in the order that loses nothing. What is left when we exit is killed, group and all.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync, readSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fullDisk, isDiskFull } from '../files/file-fault.mjs';

/** Logs grow over many starts; one that has reached this size is begun anew. */
const LOG_MAX_BYTES = 20 * 1024 * 1024;
const OUTPUT_MAX_CHARACTERS = 64 * 1024;

/**
 * @typedef {object} Launched
 * @property {string} name
 * @property {number} pid
 * @property {string} logFile
 * @property {number} logBegan where its own output begins in the log.
 * @property {() => string | null} ending how it ended, e.g. `exit code 1`; null while it runs.
 * @property {Promise<string>} ended resolves with the same; never rejects.
 */

/** The groups to end with us. @type {Set<number>} */
const alive = new Set();
process.once('exit', () => {
  for (const pid of alive) signalGroup(pid, 'SIGKILL');
});
const ENDING_SIGNALS = /** @type {const} */ ({ SIGHUP: 1, SIGINT: 2, SIGTERM: 15 });
for (const signal of /** @type {(keyof typeof ENDING_SIGNALS)[]} */ (Object.keys(ENDING_SIGNALS))) {
  process.prependListener(signal, () => {
    // Whoever else listens stops things in order. With nobody there the signal ends us, and must end them too.
    if (process.listenerCount(signal) === 1) process.exit(128 + ENDING_SIGNALS[signal]);
  });
}

/** @type {((name: string, pid: number) => void)[]} */
const launchListeners = [];

/**
 * Calls `listener` for every process launched from now on, before it does anything.
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
      // nginx's workers outlive a master that is killed, and would keep its port.
      signalGroup(pid, 'SIGKILL');
      ending = signal ?? `exit code ${code}`;
      resolve(ending);
    });
  });
  return { name, pid, logFile, logBegan: isAnew ? 0 : size, ending: () => ending, ended };
}

/**
 * Ends a launched process, and SIGKILLs its whole group when it has not ended by the deadline. Ending twice is fine.
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
 * @param {() => Value | Promise<Value>} check what it throws means 'not yet', and is told when time runs out.
 * @param {{ deadlineMs: number, what: string, launched?: Launched | undefined, everyMs?: number }} options
 *   with `launched`, waiting ends as soon as that process does.
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
 *   a program that is missing or too slow is not ok, and the output says which.
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
/** What mongod writes besides, whatever it is that ends it. */
const SAYS_NOTHING = /"msg":"(Writing fatal message|Got signal|BACKTRACE|Fatal assertion|.*aborting after)/;

/**
 * Why a process ended. A full disk leaves no room in the log to say so, so the disk is asked first.
 * @param {{ logFile: string, logBegan: number }} launched
 */
function whyEnded({ logFile, logBegan }) {
  const text = endOf(logFile, logBegan);
  return isDiskFull(logFile) || NO_SPACE.test(text) ? fullDisk(dirname(logFile)) : lastWords(text);
}

const NO_SPACE = /No space left on device|ENOSPC|Disk quota exceeded/;

/**
 * Of what a process wrote last: its last error, because the lines after one only say that the process stops. Of a line of
 * JSON (mongod's and our own are) the message counts.
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
    // It has ended in the meantime, which is what was wanted.
  }
}
