/** Checks before the start. Each error is one line that says what to do. */
import { accessSync, constants, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { describeFileFault } from './files/file-fault.mjs';
import { readPrivately } from './files/private-file.mjs';
import { ROOT } from './folders.mjs';
import { freePortsFrom, PORT_MAX, tryPort } from './processes/port.mjs';
import { run } from './processes/process.mjs';
import { findProgram } from './programs/program.mjs';
import { showProgress } from './progress.mjs';

const DISK_MIN_BYTES = 500 * 1024 * 1024;
const INSTALL_DEADLINE_MS = 600_000;
/** npm's default timeout would take more than a minute without a network. */
const PATIENCE = ['--fetch-retries=1', '--fetch-retry-mintimeout=1000', '--fetch-retry-maxtimeout=5000'];

/**
 * @param {string | undefined} given an empty value counts as unset.
 * @returns {number}
 */
export function portIn(given, { name = 'PORT', otherwise = 8080 } = {}) {
  if (!given) return otherwise;
  const port = /^\d{1,5}$/.test(given) ? Number(given) : Number.NaN;
  if (port >= 1 && port <= PORT_MAX) return port;
  throw new Error(`${name} must be a number from 1 to ${PORT_MAX}, and is ${JSON.stringify(given)}.`);
}

/**
 * @param {string | undefined} given
 * @param {number} plainPort the port without TLS.
 */
export function tlsPortIn(given, plainPort) {
  const port = portIn(given, { name: 'TLS_PORT', otherwise: 8443 });
  if (given && port === plainPort)
    throw new Error(`TLS_PORT and PORT are both ${port}: choose different ports.`);
  return port;
}

/** @param {number} port @param {string} [name] of the setting. */
export async function checkPort(port, name = 'PORT') {
  const tried = await tryPort(port);
  if (tried.free) return;
  if (tried.isForbidden) {
    throw new Error(
      `This user may not listen on port ${port}. Choose one above 1023:  ${name}=8080 npm start`,
    );
  }
  const [next] = await freePortsFrom(port + 1, 1);
  throw new Error(`Port ${port} is taken: ${tried.why}. Choose another:  ${name}=${next} npm start`);
}

/**
 * Checks that the data folder is writable, because later in the start MongoDB would report it in its own words.
 * @param {string} dataDir
 */
export function checkDataFolder(dataDir) {
  const elsewhere = 'STAMPEDE_DATA_DIR=/another/folder moves it.';
  try {
    mkdirSync(dataDir, { recursive: true });
    const probe = join(dataDir, `.probe-${process.pid}`);
    writeFileSync(probe, '');
    rmSync(probe);
  } catch (error) {
    const fault = describeFileFault(error, dataDir) ?? `${error}.`;
    throw new Error(`The data folder cannot be used: ${fault} ${elsewhere}`);
  }
  const foreign = firstUnwritable(dataDir);
  if (!foreign) return;
  const owner = statSync(foreign).uid;
  const mine = process.getuid?.();
  const whose =
    owner === mine ? 'this user may not write it' : `it belongs to user ${owner}, and this is ${mine}`;
  throw new Error(
    `The data folder cannot be used: ${foreign}: ${whose}. Fix it (chown -R, chmod), or ${elsewhere}`,
  );
}

/** Searches two levels deep, as deep as the parts keep their files. @param {string} folder @returns {string | null} */
function firstUnwritable(folder, depth = 2) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (!(entry.isDirectory() || entry.isFile()) || entry.name === 'cache') continue;
    try {
      accessSync(path, constants.R_OK | constants.W_OK | (entry.isDirectory() ? constants.X_OK : 0));
    } catch (error) {
      // A log may have been deleted meanwhile.
      if (/** @type {NodeJS.ErrnoException} */ (error).code === 'ENOENT') continue;
      return path;
    }
    const inner = entry.isDirectory() && depth > 1 ? firstUnwritable(path, depth - 1) : null;
    if (inner) return inner;
  }
  return null;
}

/** @param {string} dataDir */
export async function checkDisk(dataDir) {
  const { bavail, bsize } = await statfs(dataDir);
  if (bavail * bsize >= DISK_MIN_BYTES) return;
  const [left, needed] = [bavail * bsize, DISK_MIN_BYTES].map(
    (bytes) => `${Math.round(bytes / 1024 ** 2)} MB`,
  );
  throw new Error(
    `Too little disk: ${left} free in ${dataDir}, ${needed} needed. Free some, or STAMPEDE_DATA_DIR moves it.`,
  );
}

/**
 * Runs `npm ci` when the installed packages differ from package-lock.json.
 * @param {(line: string) => void} report
 * @param {{ development?: boolean }} [options] false also accepts an installation without development dependencies.
 */
export async function installDependencies(report, { development = true } = {}) {
  if (dependenciesAreInstalled(development)) return;
  const npm = findProgram('npm');
  if (!npm)
    throw new Error(
      'The dependencies are not installed, and npm, which comes with Node, is not on the PATH.',
    );
  const { ok, output } = await showProgress(
    'Installing the dependencies (npm ci)',
    report,
    run(npm, ['ci', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error', ...PATIENCE], {
      cwd: ROOT,
      deadlineMs: INSTALL_DEADLINE_MS,
    }),
  );
  const lines = output.trim().split('\n');
  if (ok) return report(`  ${lines.findLast((line) => line.startsWith('added')) ?? 'done'}`);
  const why =
    lines.find((line) => /^npm (error|ERR!)/.test(line) && !/ (code|errno|syscall|path) /.test(line)) ??
    lines.at(-1);
  const line = why?.replace(/^npm (error|ERR!) /, '').replace(/\.$/, '');
  throw new Error(`The dependencies could not be installed: ${line}. Fix that, or run \`npm ci\` in ${ROOT}`);
}

/**
 * Compares content and not dates, because a checkout changes the lock file's date only.
 * @param {boolean} development
 */
function dependenciesAreInstalled(development) {
  const present = packagesIn(join(ROOT, 'node_modules', '.package-lock.json'));
  if (!present) return false;
  const wanted = Object.entries(packagesIn(join(ROOT, 'package-lock.json')) ?? {});
  return wanted.every(([path, { version, optional, devOptional, dev }]) => {
    if (path === '') return true;
    const found = present[path];
    return found ? found.version === version : (optional ?? devOptional ?? (dev && !development) ?? false);
  });
}

/**
 * @param {string} lockFile
 * @returns {Record<string, { version?: string, optional?: boolean, devOptional?: boolean, dev?: boolean }> | null}
 *   null when there is no complete installation.
 */
function packagesIn(lockFile) {
  return readPrivately(lockFile)?.packages ?? null;
}
