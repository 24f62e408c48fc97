/** What the system says of a file or folder, in words that say what to do. */
import { statfsSync } from 'node:fs';
import { dirname } from 'node:path';

/** @type {Record<string, string>} */
const REASONS = {
  ENOENT: 'there is no such file or folder',
  EACCES: 'this user may not',
  EPERM: 'this user may not',
  EROFS: 'the file system is read-only',
  EISDIR: 'it is a folder',
  ENOTDIR: 'a part of its path is no folder',
  EEXIST: 'a file of that name is in the way',
  ENAMETOOLONG: 'its path is too long',
  EMFILE: 'too many files are open (ulimit -n)',
  EIO: 'the disk reports an error',
};

/**
 * @param {unknown} error
 * @param {string} path what was to be read or written, for errors that name none.
 * @returns {string | null} one line; null when the error is of something else.
 */
export function describeFileFault(error, path) {
  const { code = '', path: named, syscall } = /** @type {NodeJS.ErrnoException} */ (error);
  if (code === 'ENOSPC' || code === 'EDQUOT') return `${fullDisk(path)}.`;
  const reason = REASONS[code];
  if (!reason || !syscall || syscall.startsWith('spawn')) return null;
  const what = /^(open|scandir|stat|lstat|access|read)$/.test(syscall) ? 'opened' : 'written';
  return `${named ?? path} cannot be ${what}: ${reason}.`;
}

/** A disk with less left cannot be told from a full one: MongoDB alone takes that much at a time. */
const FULL_BYTES = 4 * 1024 * 1024;

/**
 * @param {string} path
 * @returns {boolean} false as well when it cannot be told.
 */
export function isDiskFull(path) {
  const free = freeBytes(path);
  return free !== null && free < FULL_BYTES;
}

/** @param {string} path */
export function fullDisk(path) {
  const free = freeBytes(path);
  const left = free === null ? '' : ` (${Math.floor(free / 1024 ** 2)} MB left)`;
  return `the disk is full${left} where ${path} is: free some space there`;
}

/** @param {string} path which may not be there yet. @returns {number | null} */
function freeBytes(path) {
  for (let at = path; ; at = dirname(at)) {
    try {
      const { bavail, bsize } = statfsSync(at);
      return bavail * bsize;
    } catch {
      if (at === dirname(at)) return null;
    }
  }
}
