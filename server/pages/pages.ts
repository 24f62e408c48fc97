import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import express, { type RequestHandler, Router } from 'express';
import type { Config } from '../../runtime/config.ts';

const folder = fileURLToPath(new URL('../../public/', import.meta.url));
const charts = dirname(createRequire(import.meta.url).resolve('uplot'));

/** Paths of the pages; every other file is served at its own name. */
const addresses = {
  '/': 'index.html',
  '/sales/:id': 'sale.html',
  '/orders': 'orders.html',
  '/orders/:id': 'order.html',
  '/account': 'account.html',
  '/admin': 'admin.html',
  '/ticker/:id': 'ticker.html',
  '/docs': 'docs.html',
} as const;

/** The shop's time zone and locale, which are valid by their check at the start. */
type PageSettings = Pick<Config, 'SHOP_TIME_ZONE' | 'SHOP_LOCALE'>;

/**
 * Serves the pages and their files. A page refers to its scripts and styles below `/assets/<hash>/`, the hash of all of them,
 * so that a browser caches them without end and still loads new ones at once. Modules import each other by relative paths,
 * which stay below the same hash. Files are read once, at the start.
 */
export function pageRoutes(shop: PageSettings): Router {
  const hash = hashOf(folder);
  const router = Router();
  for (const [address, file] of Object.entries(addresses)) router.get(address, page(file, hash, shop));
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.html'))) {
    router.get(`/${file}`, page(file, hash, shop));
  }
  router.use(`/assets/${hash}`, filesOfPages({ immutable: true, maxAge: '365d' }));
  // During a rolling upgrade a page of one version may load a file from an instance of another, which serves its own version.
  router.use('/assets/:otherHash', filesOfPages());

  router.get('/embed.js', (_request, response) => {
    response.set(openToAnySite).sendFile('embed.js', { root: folder });
  });
  for (const file of ['uPlot.esm.js', 'uPlot.min.css']) {
    router.get(`/vendor/uplot/${file}`, (_request, response) =>
      response.sendFile(file, { root: charts, maxAge: '1h' }),
    );
  }
  router.use(filesOfPages());
  return router;
}

/**
 * Serves the files that pages load, because the folder also has files for the compiler. There is no redirect to a folder's `/`,
 * because it would repeat the query in a header, and a proxy takes a server with too large headers for broken.
 */
function filesOfPages(options: { immutable?: boolean; maxAge?: string } = {}): RequestHandler {
  const serve = express.static(folder, { index: false, redirect: false, setHeaders: leaveOut, ...options });
  return (request, response, next) =>
    /\.(js|css|svg)$/.test(request.path) ? serve(request, response, next) : next();
}

/** What browsers heed in documents only. In a script or style it would be a third of what a first visit transfers. */
const ofDocuments = [
  'Content-Security-Policy',
  'Cross-Origin-Opener-Policy',
  'Origin-Agent-Cluster',
  'X-Frame-Options',
];

/** An SVG picture can be opened as a document. */
function leaveOut(response: ServerResponse, path: string): void {
  if (path.endsWith('.svg')) return;
  for (const name of ofDocuments) response.removeHeader(name);
}

/** Headers of the embedded element and the snapshot that it reads, which other sites may load because both are public. */
export const openToAnySite = {
  'Access-Control-Allow-Origin': '*',
  'Cross-Origin-Resource-Policy': 'cross-origin',
} as const;

function hashOf(root: string): string {
  const hash = createHash('sha256');
  const files = readdirSync(root, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  for (const path of files.map(({ parentPath, name }) => join(parentPath, name)).sort()) {
    hash.update(path.slice(root.length)).update(readFileSync(path));
  }
  return hash.digest('base64url').slice(0, 16);
}

/** Matches the paths of a page's own files; `/socket.io/`, `/docs/`, `/vendor/` and `/embed.js` are not below the hash. */
const ownFile = /(href|src)="\/(?!socket\.io\/|docs\/|vendor\/|embed\.js)([\w/-]+\.(?:js|css|svg))"/g;

/** Replaces `<!-- shared head -->` in a page. */
const sharedHead = [
  '<meta charset="utf-8">',
  '<meta name="viewport" content="width=device-width, initial-scale=1, viewport-fit=cover">',
  '<meta name="color-scheme" content="light dark">',
  '<link rel="icon" href="/favicon.svg" type="image/svg+xml">',
  '<link rel="stylesheet" href="/style/theme.css">',
];

/** Fills in a page's head, with a preload of every module after the styles, so that no module waits for its importer. */
function fillHead(html: string): string {
  const scripts = [...html.matchAll(/<script type="module" src="([^"]+)"/g)].map(([, src = '']) => src);
  const preloads = [...new Set(scripts.flatMap((script) => [...importsOf(script)]))];
  const lines = preloads.map((module) => `<link rel="modulepreload" href="${module}">\n    `);
  return html
    .replace('<!-- shared head -->', sharedHead.join('\n    '))
    .replace('<script type="module"', (script) => lines.join('') + script);
}

/** @returns the paths of all modules that this one imports, directly or indirectly. */
function importsOf(script: string, found = new Set<string>()): Set<string> {
  const file = join(folder, script);
  // Modules of packages import no further modules.
  if (!existsSync(file)) return found;
  for (const [, name = ''] of readFileSync(file, 'utf8').matchAll(importStatement)) {
    const { pathname } = new URL(name, `http://page${script}`);
    if (found.has(pathname)) continue;
    found.add(pathname);
    importsOf(pathname, found);
  }
  return found;
}

const importStatement = /^import\s+(?:[\w{}*,\s]+\sfrom\s+)?'([^']+)'/gm;

function page(file: string, hash: string, { SHOP_TIME_ZONE, SHOP_LOCALE }: PageSettings): RequestHandler {
  const html = fillHead(readFileSync(join(folder, file), 'utf8'))
    .replace('<html', `<html data-time-zone="${SHOP_TIME_ZONE}" data-locale="${SHOP_LOCALE}"`)
    .replace(ownFile, `$1="/assets/${hash}/$2"`);
  const etag = `"${createHash('sha256').update(html).digest('base64url').slice(0, 16)}"`;
  return (_request, response) => {
    response.set({ 'Cache-Control': 'no-cache', ETag: etag }).type('html').send(html);
  };
}
