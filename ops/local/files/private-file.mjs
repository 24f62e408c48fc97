import { randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';

/**
 * Written whole or not at all, and for this user's eyes only.
 * @param {string} file
 * @param {unknown} content
 */
export function writePrivately(file, content) {
  const unfinished = `${file}.${process.pid}.new`;
  try {
    const descriptor = openSync(unfinished, 'w', 0o600);
    try {
      writeFileSync(descriptor, `${JSON.stringify(content, null, 2)}\n`);
      // Renamed before it is on the disk it could be empty after a power cut.
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
 * @returns {any} null when there is no such file, or no JSON in it.
 */
export function readPrivately(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return null;
  }
}

/**
 * Tells a file that was never there from one that was torn.
 * @param {string} file
 * @returns {string | null} null when there is no such file.
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
 * The secret that signs tokens: made up once, so that a restart signs nobody out.
 * @param {string} file
 * @returns {string}
 * @throws Error when the file is there and holds no secret: a new one would sign everybody out unasked.
 */
export function jwtSecretIn(file) {
  if (readText(file) === null) writePrivately(file, { jwtSecret: randomBytes(48).toString('base64url') });
  const secret = readPrivately(file)?.jwtSecret;
  if (typeof secret === 'string' && secret.length >= SECRET_MIN_CHARACTERS) return secret;
  throw new Error(
    `${file} is damaged: put it back from a copy, or delete it and start again (then everybody has to sign in again).`,
  );
}
