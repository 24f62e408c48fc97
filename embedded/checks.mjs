/** What must be so before anything starts. Each refusal is one line that says what to do. */
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { ROOT } from './folders.mjs';
import { tryPort } from './port.mjs';
import { run } from './process.mjs';
import { findProgram } from './program.mjs';
import { showProgress } from './progress.mjs';

const NODE_MIN = [20, 19];
const DISK_MIN_BYTES = 500 * 1024 * 1024;
const INSTALL_DEADLINE_MS = 600_000;
/** npm's own would keep a machine without a network waiting for more than a minute. */
const PATIENCE = ['--fetch-retries=1', '--fetch-retry-mintimeout=1000', '--fetch-retry-maxtimeout=5000'];

export function checkNode(version = process.versions.node) {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const [minMajor = 0, minMinor = 0] = NODE_MIN;
  if (major > minMajor || (major === minMajor && minor >= minMinor)) return;
  throw new Error(`Stampede needs Node ${NODE_MIN.join('.')} or newer, and this is ${version}.`);
}

/** @param {string | undefined} wanted */
export async function checkPort(wanted = '8080') {
  const port = Number(wanted);
  if (!Number.isInteger(port) || port < 1 || port > 65_535) {
    throw new Error(`PORT must be a number from 1 to 65535, and is ${JSON.stringify(wanted)}.`);
  }
  const tried = await tryPort(port);
  if (tried.free) return port;
  throw new Error(`Port ${port} is taken: ${tried.why}. Choose another:  PORT=${port + 1} npm start`);
}

/** @param {string} dataDir */
export async function checkDisk(dataDir) {
  await mkdir(dataDir, { recursive: true }).catch((error) => {
    throw new Error(`The data folder cannot be made: ${error.message}`);
  });
  const { bavail, bsize } = await statfs(dataDir);
  if (bavail * bsize >= DISK_MIN_BYTES) return;
  const [left, needed] = [bavail * bsize, DISK_MIN_BYTES].map(
    (bytes) => `${Math.round(bytes / 1024 ** 2)} MB`,
  );
  throw new Error(
    `Too little disk: ${left} free in ${dataDir}, ${needed} needed. STAMPEDE_DATA_DIR moves it.`,
  );
}

/**
 * Runs `npm ci` when what is installed is not what package-lock.json says.
 * @param {(line: string) => void} report
 */
export async function installDependencies(report) {
  if (dependenciesAreInstalled()) return;
  const npm = findProgram('npm');
  if (!npm) throw new Error('The dependencies are not installed, and npm is not on the PATH.');
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
    lines.find((line) => /^npm (error|ERR!)/.test(line) && !/ (code|errno|syscall) /.test(line)) ??
    lines.at(-1);
  throw new Error(`The dependencies could not be installed: ${why?.replace(/^npm (error|ERR!) /, '')}`);
}

/** By content, not by date: a checkout that only touches the lock file costs no installation. */
function dependenciesAreInstalled() {
  const installed = join(ROOT, 'node_modules', '.package-lock.json');
  if (!existsSync(installed)) return false;
  const wanted = Object.entries(packagesIn(join(ROOT, 'package-lock.json'))).filter(([path]) => path !== '');
  const present = packagesIn(installed);
  return wanted.every(([path, { version, optional, devOptional }]) => {
    const found = present[path];
    return found ? found.version === version : (optional ?? devOptional ?? false);
  });
}

/**
 * @param {string} lockFile
 * @returns {Record<string, { version?: string, optional?: boolean, devOptional?: boolean }>}
 */
function packagesIn(lockFile) {
  return JSON.parse(readFileSync(lockFile, 'utf8')).packages;
}
