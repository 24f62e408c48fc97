import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Language, language as languages } from '../../sale/contract.ts';
import { bundleScripts, joinStyles, makeInline, stopBundling } from './bundles.ts';

/** The pages in the folder `public`, whose placeholders are not filled in yet, and the files that they load. */
export interface PageFiles {
  /** Below `/bundles/<hash>/`: the hash of all files, so that a browser caches them without end and still loads new ones at once. */
  hash: string;
  /** The page of a file, e.g. `sale.html`, in a language. */
  template(file: string, language: Language): Template;
  /** The pages' scripts, by their addresses below the hash. */
  scripts: ReadonlyMap<string, Buffer>;
}

interface Template {
  html: string;
  /** SHA-256 of the styles in it, for the content security policy; null when it has none. */
  styleHash: string | null;
  /** SHA-256 of each script in it. */
  scriptHashes: string[];
}

const theme = '/style/theme.css';
const styleLink = /[ \t]*<link rel="stylesheet" href="(\/(?:style|vendor)\/[\w/.-]+\.css)">\n/g;
const scriptTag = /<script [^>]*src="(\/[\w/-]+-page\.js)"[^>]*>/g;
/** A script whose code is put into the HTML (inlined), so that it runs before what follows it is painted. */
const inlineScript = /<script src="(\/[\w/-]+-inline\.js)"><\/script>/g;
/** The paths of a page's own files; `/socket.io/`, `/docs/`, `/vendor/`, `/embed.js` and `/buy.js` are not below the hash. */
const ownFile =
  /(href|src)="\/(?!socket\.io\/|docs\/|vendor\/|(?:embed|buy)\.js)([\w/-]+\.(?:js|css|svg)[^"]*)"/g;

/**
 * Bundles each page's modules to one script for each language, and puts its styles into the page, so that it is shown without
 * another request. The address of a script is that of the page's own module, with the language as a query; what it imports is
 * named by its content.
 * @param folder ends with a slash.
 * @param vendor the folder of the charts' style.
 */
export async function readPageFiles(folder: string, vendor: string): Promise<PageFiles> {
  const hash = hashOf(folder);
  const { scripts, templates } = readKept(hash) ?? keep(hash, await makePages(folder, vendor, hash));
  return {
    hash,
    scripts: new Map(scripts.map(([path, text]) => [path, Buffer.from(text)])),
    template(file, language) {
      const found = templates[`${language} ${file}`];
      if (!found) throw new Error(`There is no page ${file} in ${language}`);
      return found;
    },
  };
}

interface Made {
  scripts: [path: string, text: string][];
  templates: Record<string, Template>;
}

async function makePages(folder: string, vendor: string, hash: string): Promise<Made> {
  const pages = readdirSync(folder).filter((name) => name.endsWith('.html'));
  const sources = new Map(pages.map((name) => [name, readFileSync(join(folder, name), 'utf8')]));
  const tags = [...sources.values()].flatMap((html) => [...html.matchAll(scriptTag)]);
  const entries = new Set(tags.map(([, path = '']) => path));
  const bundles = await Promise.all(
    languages.options.map(async (language) => {
      const made = await bundleScripts(folder, [...entries], language);
      return { language, made };
    }),
  );
  const inline = [...sources.values()].flatMap((html) => [...html.matchAll(inlineScript)]);
  const inlined = await makeInline(folder, [...new Set(inline.map(([, path = '']) => path))]);
  const fileOf = (path: string) =>
    path.startsWith('/vendor/') ? join(vendor, basename(path)) : join(folder, path);
  const templates: Made['templates'] = {};
  for (const [name, html] of sources) {
    const sheets = [...html.matchAll(styleLink)].map(([, path = '']) => path);
    const texts = [theme, ...sheets].map((path) => readFileSync(fileOf(path), 'utf8'));
    const style = html.includes('{{head}}') ? await joinStyles(texts) : '';
    const styled = style
      ? html
          .replace(styleLink, '')
          .replace('{{head}}', () => `{{head}}\n    <style>${style}</style>{{theme}}`)
      : html;
    const styleHash = style ? sha256(style) : null;
    const scriptHashes = [...html.matchAll(inlineScript)].map(([, path = '']) =>
      sha256(inlined.get(path) ?? ''),
    );
    for (const { language, made } of bundles) {
      const importedBy = (path: string) => made.find((one) => one.path === path)?.imports ?? [];
      const scripted = styled.replace(scriptTag, (tag, path) => {
        const loads = importedBy(path).map((chunk) => `<link rel="modulepreload" href="${chunk}">\n    `);
        return loads.join('') + tag.replace(path, `${path}?in=${language}`);
      });
      templates[`${language} ${name}`] = {
        html: scripted
          .replace(inlineScript, (_tag, path) => `<script>${inlined.get(path)}</script>`)
          .replace(ownFile, `$1="/bundles/${hash}/$2"`),
        styleHash,
        scriptHashes,
      };
    }
  }
  const scripts = bundles.flatMap(({ language, made }) =>
    made.map(({ path, text }): [string, string] => [
      entries.has(path) ? `${path}?in=${language}` : path,
      text,
    ]),
  );
  await stopBundling();
  return { scripts, templates };
}

export const sha256 = (text: string): string => createHash('sha256').update(text).digest('base64');

/** Kept for the next start, where the folder can be written. */
const cache = fileURLToPath(new URL('../../.data/cache/pages/', import.meta.url));

function readKept(hash: string): Made | null {
  try {
    return JSON.parse(readFileSync(join(cache, `${hash}.json`), 'utf8'));
  } catch {
    return null;
  }
}

function keep(hash: string, made: Made): Made {
  try {
    mkdirSync(cache, { recursive: true });
    const others = readdirSync(cache);
    const part = join(cache, `${hash}.${process.pid}.part`);
    writeFileSync(part, JSON.stringify(made));
    renameSync(part, join(cache, `${hash}.json`));
    for (const other of others) rmSync(join(cache, other), { force: true });
  } catch {
    // The next start makes them again.
  }
  return made;
}

/** What the pages are made of and by: the folder, this module and its neighbour, and the versions of packages. */
function hashOf(root: string): string {
  const hash = createHash('sha256');
  for (const maker of ['./page-files.ts', './bundles.ts', '../../package.json'])
    hash.update(readFileSync(new URL(maker, import.meta.url)));
  const files = readdirSync(root, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  for (const path of files.map(({ parentPath, name }) => join(parentPath, name)).sort()) {
    hash.update(path.slice(root.length)).update(readFileSync(path));
  }
  return hash.digest('base64url').slice(0, 16);
}
