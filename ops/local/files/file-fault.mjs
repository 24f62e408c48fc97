/** Turns file system errors into messages that say what to do. */
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
 * @param {string} path the file that was read or written, for errors without a path.
 * @returns {string | null} one line; null for any other error.
 */
export function describeFileFault(error, path) {
  const { code = '', path: named, syscall } = /** @type {NodeJS.ErrnoException} */ (error);
  if (code === 'ENOSPC' || code === 'EDQUOT') return `${fullDisk(path)}.`;
  const reason = REASONS[code];
  if (!reason || !syscall || syscall.startsWith('spawn')) return null;
  const what = /^(open|scandir|stat|lstat|access|read)$/.test(syscall) ? 'opened' : 'written';
  return `${named ?? path} cannot be ${what}: ${reason}.`;
}

/** Less free space counts as full, because MongoDB allocates this much at a time. */
const FULL_BYTES = 4 * 1024 * 1024;

/**
 * @param {string} path
 * @returns {boolean} false also when it is unknown.
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

/** @param {string} path may not exist yet. @returns {number | null} */
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
