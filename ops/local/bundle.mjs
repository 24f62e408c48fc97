/**
 * Bundles of our TypeScript sources. With one JavaScript file a process starts in half the time that it needs with tsx, which
 * loads each module through a second thread.
 */
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { readPrivately, writePrivately } from './files/private-file.mjs';
import { cacheFolder, ROOT } from './folders.mjs';

const FOLDER = join(cacheFolder(), 'bundles');
/** Older bundles of an entry are removed after this time, in which a process that was just launched has read its own. */
const KEEP_MS = 3_600_000;

/** `sources` are paths in `root` with a size and a date, by which a changed source is noticed. */
/** @typedef {{ root: string, file: string, sources: [path: string, state: string][] }} Bundle */

/**
 * @param {string} entry a TypeScript file in our folder, e.g. `server/main.ts`
 * @returns {Promise<string | null>} the path of its bundle, made anew when a source has changed; null when it cannot be made,
 *   as in a folder that is not writable: tsx runs the sources then, and says what is wrong with them.
 */
export async function bundleOf(entry) {
  const name = relative(ROOT, resolve(ROOT, entry)).replace(/\W+/g, '-');
  const record = join(FOLDER, `${name}.json`);
  try {
    return fileInUse(record) ?? (await make(entry, name, record));
  } catch {
    return null;
  }
}

/** @param {string} record @returns {string | null} null when it is missing or outdated. */
function fileInUse(record) {
  /** @type {Bundle | null} */
  const bundle = readPrivately(record);
  if (bundle?.root !== ROOT || !existsSync(bundle.file)) return null;
  return bundle.sources.every(([path, state]) => stateOf(path) === state) ? bundle.file : null;
}

/** @param {string} path */
function stateOf(path) {
  const stat = statSync(join(ROOT, path), { throwIfNoEntry: false });
  return stat ? `${stat.size} ${stat.mtimeMs}` : 'missing';
}

/**
 * @param {string} entry
 * @param {string} name
 * @param {string} record
 */
async function make(entry, name, record) {
  const { build } = await import('esbuild');
  /** @type {Bundle['sources']} */
  const sources = [];
  /** @param {string} path */
  const addSource = (path) => sources.push([relative(ROOT, path), stateOf(relative(ROOT, path))]);
  addSource(fileURLToPath(import.meta.url));
  const made = await build({
    absWorkingDir: ROOT,
    entryPoints: [entry],
    bundle: true,
    packages: 'external',
    platform: 'node',
    target: 'node20',
    format: 'esm',
    tsconfigRaw: {},
    sourcemap: 'linked',
    sourcesContent: false,
    outdir: FOLDER,
    entryNames: `${name}-[hash]`,
    outExtension: { '.js': '.mjs' },
    write: false,
    logLevel: 'silent',
    plugins: [
      {
        name: 'ours',
        setup({ onLoad, onResolve }) {
          // These modules have a state, and the process may have loaded them already.
          onResolve({ filter: /^\..*\.mjs$/ }, ({ path, resolveDir }) => ({
            path: pathToFileURL(resolve(resolveDir, path)).href,
            external: true,
          }));
          // Files beside a source are found by the source's own address.
          onLoad({ filter: /\.[jt]s$/ }, async ({ path }) => {
            addSource(path);
            const address = JSON.stringify(pathToFileURL(path).href);
            const contents = (await readFile(path, 'utf8')).replaceAll('import.meta.url', address);
            return { contents, loader: path.endsWith('ts') ? 'ts' : 'js' };
          });
        },
      },
    ],
  });
  mkdirSync(FOLDER, { recursive: true });
  for (const { path, contents } of made.outputFiles) write(path, contents);
  const file = made.outputFiles.find(({ path }) => path.endsWith('.mjs'))?.path ?? '';
  writePrivately(record, { root: ROOT, file, sources });
  removeOld(name);
  return file;
}

/** Other processes may make the same bundle, so each file appears at once. @param {string} path @param {string | Uint8Array} contents */
function write(path, contents) {
  const part = `${path}.${process.pid}.part`;
  writeFileSync(part, contents);
  renameSync(part, path);
}

/** @param {string} name */
function removeOld(name) {
  for (const file of readdirSync(FOLDER)) {
    const path = join(FOLDER, file);
    const isOurs = file.startsWith(`${name}-`);
    if (isOurs && statSync(path).mtimeMs < Date.now() - KEEP_MS) rmSync(path, { force: true });
  }
}
