/** Finds a program on this machine, or installs its Debian package when running as root. */
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { run } from '../processes/process.mjs';
import { showProgress } from '../progress.mjs';

/** Servers are in sbin, which is often not in the PATH of ordinary users. */
const FOLDERS_BESIDE_PATH = ['/usr/local/sbin', '/usr/sbin', '/opt/homebrew/bin', '/usr/local/bin'];
const INSTALL_DEADLINE_MS = 180_000;

/** @typedef {(line: string) => void} Report */

/**
 * @param {string} name
 * @returns {string | null} its path.
 */
export function findProgram(name) {
  const folders = [...(process.env.PATH ?? '').split(delimiter), ...FOLDERS_BESIDE_PATH];
  return folders.map((folder) => join(folder, name)).find(isExecutable) ?? null;
}

/** @param {string} path */
export function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * Installs a Debian package, only as root and with a deadline, and says so first.
 * @param {string} debianPackage
 * @param {Report} report
 * @returns {Promise<boolean>} whether the package is installed now.
 */
export async function installFromDebian(debianPackage, report) {
  const aptGet = findProgram('apt-get');
  if (!aptGet || process.getuid?.() !== 0 || process.env.STAMPEDE_WITHOUT_INSTALLING === '1') return false;
  const what = `Installing Debian's package ${debianPackage} (STAMPEDE_WITHOUT_INSTALLING=1 prevents it)`;
  const { ok, output } = await showProgress(what, report, install(aptGet, debianPackage));
  if (!ok) report(`${what} failed: ${output.trim().split('\n').at(-1)}`);
  return ok;
}

/**
 * @param {string} aptGet
 * @param {string} debianPackage
 */
async function install(aptGet, debianPackage) {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const options = { deadlineMs: INSTALL_DEADLINE_MS, env };
  const args = ['install', '--yes', '--no-install-recommends', debianPackage];
  const installed = await run(aptGet, args, options);
  if (installed.ok) return installed;
  // A fresh machine has no package lists yet.
  await run(aptGet, ['update'], options);
  return run(aptGet, args, options);
}
