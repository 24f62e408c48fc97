import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { Plugin } from 'esbuild';
import type { Language } from '../../sale/contract.ts';

const { resolve } = createRequire(import.meta.url);

/** Modules that a page imports by the address at which a server of any version serves them. */
const packages: Record<string, string> = {
  '/socket.io/socket.io.esm.min.js': join(
    dirname(resolve('socket.io/package.json')),
    'client-dist/socket.io.esm.min.js',
  ),
  '/vendor/uplot/uPlot.esm.js': join(dirname(resolve('uplot')), 'uPlot.esm.js'),
};

const nameIn = { en: 'english', de: 'german', fr: 'french' };

function ownModules(folder: string, language: Language): Plugin {
  return {
    name: 'own-modules',
    setup({ onResolve, onLoad }) {
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

/**
 * Makes one script of each page's modules, with the texts of one language.
 * @param scripts paths in the folder, e.g. `/sale/sale-page.js`.
 * @returns the scripts by the same paths.
 */
export async function bundleScripts(
  folder: string,
  scripts: string[],
  language: Language,
): Promise<[path: string, text: string][]> {
  // Loaded with the first page, because a server that answers only requests to the API needs none of it.
  const { build } = await import('esbuild');
  const { outputFiles } = await build({
    absWorkingDir: folder,
    entryPoints: scripts.map((path) => join(folder, path)),
    outdir: folder,
    outbase: folder,
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2022',
    legalComments: 'none',
    tsconfigRaw: {},
    write: false,
    logLevel: 'silent',
    plugins: [ownModules(folder, language)],
  });
  return outputFiles.map(({ path, text }) => [path.slice(folder.length - 1), text]);
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
