import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { Plugin } from 'esbuild';
import type { Language } from '../../sale/contract.ts';

const { resolve } = createRequire(import.meta.url);

/** Modules that a page imports by the address at which a server of any version serves them. */
const packages: Record<string, string> = {
  '/vendor/uplot/uPlot.esm.js': join(dirname(resolve('uplot')), 'uPlot.esm.js'),
};

/** The client of socket.io, a file of its own, because pages load it beside their first drawing. All pages share it. */
const socketClient = {
  path: '/chunks/socket-client.js',
  file: join(dirname(resolve('socket.io/package.json')), 'client-dist/socket.io.esm.min.js'),
};

const nameIn = { en: 'english', de: 'german', fr: 'french' };

function ownModules(folder: string, language: Language): Plugin {
  return {
    name: 'own-modules',
    setup({ onResolve, onLoad }) {
      // Every page's script is in a folder below the hash.
      onResolve({ filter: /^\/socket\.io\// }, () => ({ path: `..${socketClient.path}`, external: true }));
      onResolve({ filter: /^\// }, ({ path, kind }) =>
        kind === 'entry-point' ? undefined : { path: packages[path] ?? join(folder, path) },
      );
      onLoad({ filter: /\/shared\/own-texts\.js$/ }, () => ({
        contents: `export { ${nameIn[language]} as ownTexts } from '../texts/${language}.js'`,
        resolveDir: join(folder, 'shared'),
      }));
      onLoad({ filter: /\/admin\/texts\.js$/ }, () => ({
        contents: `export { ${nameIn[language]} as texts } from './texts/${language}.js'`,
        resolveDir: join(folder, 'admin'),
      }));
    },
  };
}

/** A script, and those that it imports at once. Paths are in the folder, e.g. `/sale/sale-page.js`. */
export interface Bundle {
  path: string;
  text: string;
  imports: string[];
}

/** The views and charts of the control room load when they are shown. A buyer's page is one script, and draws after one request. */
const isSplit = (path: string) => path === '/admin/admin-page.js';

const common = (folder: string) =>
  ({
    absWorkingDir: folder,
    outdir: folder,
    outbase: folder,
    bundle: true,
    minify: true,
    target: 'es2022',
    legalComments: 'none',
    tsconfigRaw: {},
    write: false,
    logLevel: 'silent',
  }) as const;

/**
 * Makes one script of each page's modules, with the texts of one language, and further ones of what the control room imports
 * later.
 * @param scripts paths in the folder, e.g. `/sale/sale-page.js`.
 */
export async function bundleScripts(
  folder: string,
  scripts: string[],
  language: Language,
): Promise<Bundle[]> {
  // Loaded with the first page, because a server that answers only requests to the API needs none of it.
  const { build } = await import('esbuild');
  const bundle = async (entries: string[], splitting: boolean): Promise<Bundle[]> => {
    const { outputFiles, metafile } = await build({
      ...common(folder),
      entryPoints: entries.map((path) => join(folder, path)),
      chunkNames: 'chunks/[name]-[hash]',
      splitting,
      format: 'esm',
      metafile: true,
      plugins: [ownModules(folder, language)],
    });
    return outputFiles.map(({ path, text }) => {
      const imports = metafile.outputs[path.slice(folder.length)]?.imports ?? [];
      const atOnce = imports.filter(({ kind }) => kind === 'import-statement');
      return { path: path.slice(folder.length - 1), text, imports: atOnce.map(({ path }) => `/${path}`) };
    });
  };
  const whole = scripts.filter((path) => !isSplit(path));
  const client = { path: socketClient.path, text: readFileSync(socketClient.file, 'utf8'), imports: [] };
  const made = await Promise.all([bundle(whole, false), bundle(scripts.filter(isSplit), true)]);
  return [...made.flat(), client];
}

/** Makes a script of each path's modules, to be put into pages. @returns the scripts by path */
export async function makeInline(folder: string, paths: string[]): Promise<Map<string, string>> {
  const { build } = await import('esbuild');
  const { outputFiles } = await build({
    ...common(folder),
    entryPoints: paths.map((path) => join(folder, path)),
    format: 'iife',
  });
  return new Map(outputFiles.map(({ path, text }) => [path.slice(folder.length - 1), text.trim()]));
}

/** Joins style sheets to one, in their order. */
export async function joinStyles(sheets: string[]): Promise<string> {
  const { transform } = await import('esbuild');
  const { code } = await transform(sheets.join('\n'), { loader: 'css', minify: true, target: 'es2022' });
  return code.trim();
}

/** Ends the process that bundles. */
export async function stopBundling(): Promise<void> {
  const { stop } = await import('esbuild');
  await stop();
}
