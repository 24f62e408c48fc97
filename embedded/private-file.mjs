import { randomBytes } from 'node:crypto';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';

/**
 * Written whole or not at all, and for this user's eyes only.
 * @param {string} file
 * @param {unknown} content
 */
export function writePrivately(file, content) {
  writeFileSync(`${file}.new`, `${JSON.stringify(content, null, 2)}\n`, { mode: 0o600 });
  renameSync(`${file}.new`, file);
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
 * The secret that signs tokens: made up once, so that a restart signs nobody out.
 * @param {string} file
 * @returns {string}
 */
export function jwtSecretIn(file) {
  const known = readPrivately(file)?.jwtSecret;
  if (known) return known;
  const jwtSecret = randomBytes(48).toString('base64url');
  writePrivately(file, { jwtSecret });
  return jwtSecret;
}
