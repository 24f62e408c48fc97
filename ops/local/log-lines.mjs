/** Prints the logs of our processes in readable form, with a limit on lines a second. */
import { closeSync, openSync, readSync, statSync } from 'node:fs';

const LOOK_EVERY_MS = 250;
const READ_MAX_BYTES = 256 * 1024;
/** An error in every request writes thousands of lines a second; only the log file has them all. */
const LINES_PER_LOOK = 5;

/**
 * Follows a log from its current end. Processes write to files and not to a pipe, so that they survive the end of this
 * process.
 * @param {string} file
 * @param {(lines: string[]) => void} onLines
 * @returns {() => void} stops following.
 */
export function followLog(file, onLines) {
  let offset = sizeOf(file);
  let rest = '';
  const timer = setInterval(() => {
    const size = sizeOf(file);
    // The log was truncated by a restart.
    if (size < offset) offset = 0;
    if (size === offset) return;
    const { text, bytes } = readFrom(file, offset);
    offset += bytes;
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    onLines(lines);
  }, LOOK_EVERY_MS).unref();
  return () => clearInterval(timer);
}

const LEVELS = ['silent', 'trace', 'debug', 'info', 'warn', 'error', 'fatal'];

/** @param {string} level @returns {string} */
export function checkLevel(level) {
  if (LEVELS.includes(level)) return level;
  throw new Error(`STAMPEDE_SHOW_LOG must be one of ${LEVELS.join(', ')}, and is ${JSON.stringify(level)}.`);
}

/**
 * Prints log lines of at least this level, a limited number at a time.
 * @param {string} level e.g. `warn`; `silent` for none.
 * @param {(line: string) => void} write
 * @returns {Promise<(lines: string[]) => void>}
 */
export async function openPrettyLog(level, write) {
  if (level === 'silent') return () => {};
  // Imported dynamically, because the dependencies may not be installed yet when `npm start` begins.
  const { default: pretty } = await import('pino-pretty');
  const format = pretty.prettyFactory({
    colorize: process.stdout.isTTY,
    minimumLevel: /** @type {import('pino').Level} */ (level),
    translateTime: 'SYS:HH:MM:ss',
    messageFormat: '{instance}: {msg}{if error} ({error}){end}',
    ignore: 'role,instance,pid,hostname,error',
    singleLine: true,
  });
  return (lines) => {
    // A line that is not JSON, such as the stack of a crash, is printed as it is.
    const serious = lines.filter(Boolean).flatMap((line) => format(line)?.trimEnd() || []);
    // Several connections report the loss of the same database in the same second.
    const shown = [...new Set(serious)];
    for (const line of shown.slice(0, LINES_PER_LOOK)) write(line);
    const more = shown.length - LINES_PER_LOOK;
    if (more > 0) write(`… and ${more} more such lines`);
  };
}

/** @param {string} file */
function sizeOf(file) {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0;
}

/** @param {string} file @param {number} offset */
function readFrom(file, offset) {
  const buffer = Buffer.alloc(READ_MAX_BYTES);
  const descriptor = openSync(file, 'r');
  try {
    const bytes = readSync(descriptor, buffer, 0, READ_MAX_BYTES, offset);
    return { text: buffer.toString('utf8', 0, bytes), bytes };
  } finally {
    closeSync(descriptor);
  }
}
