/** Shows people what our processes write into their logs, as long as they can read it. */
import { closeSync, openSync, readSync, statSync } from 'node:fs';

const LOOK_EVERY_MS = 250;
const READ_MAX_BYTES = 256 * 1024;
/** A fault that hits every request writes thousands of lines a second; the file has them all. */
const LINES_PER_LOOK = 5;

/**
 * Follows a log from its present end. The processes write to files and not to us, so that they live on when we are
 * stopped in mid-line.
 * @param {string} file
 * @param {(lines: string[]) => void} onLines
 * @returns {() => void} ends it.
 */
export function followLog(file, onLines) {
  let offset = sizeOf(file);
  let rest = '';
  const timer = setInterval(() => {
    const size = sizeOf(file);
    // A restart has begun it anew.
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
 * Writes a log's lines for people: those that are at least this serious, and a few at a time.
 * @param {string} level e.g. `warn`; `silent` for none.
 * @param {(line: string) => void} write
 * @returns {Promise<(lines: string[]) => void>}
 */
export async function openPrettyLog(level, write) {
  if (level === 'silent') return () => {};
  // Not at the top: nothing is installed yet when `npm start` begins.
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
    // What is not JSON is the last word of a process that died, and is for people already.
    const serious = lines.filter(Boolean).flatMap((line) => format(line)?.trimEnd() || []);
    // Several connections lose the same database in the same second.
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
