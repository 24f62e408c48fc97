import { randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';

/**
 * Writes the file atomically, readable by this user only.
 * @param {string} file
 * @param {unknown} content
 */
export function writePrivately(file, content) {
  const unfinished = `${file}.${process.pid}.new`;
  try {
    const descriptor = openSync(unfinished, 'w', 0o600);
    try {
      writeFileSync(descriptor, `${JSON.stringify(content, null, 2)}\n`);
      // Without fsync before the rename, the file could be empty after a power failure.
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    renameSync(unfinished, file);
  } catch (error) {
    rmSync(unfinished, { force: true });
    throw error;
  }
}

/**
 * @param {string} file
 * @returns {any} null when the file does not exist or is not JSON.
 */
export function readPrivately(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return null;
  }
}

/**
 * Reads a file, and distinguishes a missing one from a damaged one.
 * @param {string} file
 * @returns {string | null} null when the file does not exist.
 */
export function readText(file) {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === 'ENOENT') return null;
    throw error;
  }
}

const SECRET_MIN_CHARACTERS = 32;

/**
 * The secret that signs tokens. It is created once, so that a restart does not end sessions.
 * @param {string} file
 * @returns {string}
 * @throws Error when the file exists without a valid secret, since a new one would end all sessions.
 */
export function jwtSecretIn(file) {
  if (readText(file) === null) writePrivately(file, { jwtSecret: randomBytes(48).toString('base64url') });
  const secret = readPrivately(file)?.jwtSecret;
  if (typeof secret === 'string' && secret.length >= SECRET_MIN_CHARACTERS) return secret;
  throw new Error(
    `${file} is damaged: restore it from a copy, or delete it and start again (then everybody has to sign in again).`,
  );
}
