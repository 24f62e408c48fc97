import { createHash } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import express, { type Request, type RequestHandler, type Response, Router } from 'express';
import { styleOf } from '../../catalogue/theme.ts';
import { german } from '../../public/admin/texts/de.js';
import { english } from '../../public/admin/texts/en.js';
import { french } from '../../public/admin/texts/fr.js';
import type { Config } from '../../runtime/config.ts';
import type { Log } from '../../runtime/observe/log.ts';
import type { Language } from '../../sale/contract.ts';
import { type Refusal, refuse, type ShowProblem, sendRefusal } from '../http/problems.ts';
import { calendarOf } from './calendar.ts';
import {
  leadsOn,
  unknownSale,
  viewOfAccount,
  viewOfDraw,
  viewOfList,
  viewOfOthers,
  viewOfSale,
} from './first-view.ts';
import { fill, Html, html, type Values } from './html.ts';
import { contextFor, type PageContext } from './page-context.ts';
import { type PageFiles, readPageFiles, sha256 } from './page-files.ts';
import type { ShownSales } from './shown-sales.ts';

const folder = fileURLToPath(new URL('../../public/', import.meta.url));
const charts = dirname(createRequire(import.meta.url).resolve('uplot'));

/** Paths of the pages that have no view of their own; every other file is served at its own name. */
const addresses = {
  '/orders': 'orders.html',
  '/orders/:id': 'order.html',
  '/admin': 'admin.html',
  '/ticker/:id': 'ticker.html',
  '/docs': 'docs.html',
  '/embed.html': 'embed.html',
} as const;

type PageSettings = Pick<
  Config,
  'SHOP_NAME' | 'SHOP_TIME_ZONE' | 'SHOP_LOCALE' | 'PUBLIC_URL' | 'NODE_ENV' | 'CAPTCHA_PROVIDER'
>;

export interface Pages {
  router: Router;
  showProblem: ShowProblem;
}

/**
 * Serves the pages and their files. Pages show what is on sale before their scripts run. A page refers to its files below
 * `/bundles/<hash>/`. During a rolling upgrade a server does not have the files of another version and answers 404, after
 * which nginx asks the other servers.
 */
export function openPages(settings: PageSettings, shown: ShownSales, log: Log): Pages {
  let reading: Promise<PageFiles> | null = null;
  // The first page waits for it; a server that is not in production may never be asked for one.
  const files = () => {
    reading ??= readPageFiles(folder, charts).catch((error) => {
      // The next page tries again.
      reading = null;
      throw error;
    });
    return reading;
  };
  if (settings.NODE_ENV === 'production')
    files().catch((error) =>
      log.error({ err: error }, 'the pages could not be made, the next request tries again'),
    );
  const base = settings.PUBLIC_URL.replace(/\/$/, '');
  const timeZone = settings.SHOP_TIME_ZONE;
  async function context(request: Pick<Request, 'headers'>): Promise<PageContext> {
    const theme = await shown.theme();
    return contextFor(request, { timeZone, shop: { name: theme.name || settings.SHOP_NAME, theme } });
  }

  async function send(
    response: Response,
    file: string,
    { status = 200, values = {} }: { status?: number; values?: Values },
    about: PageContext,
  ): Promise<void> {
    const { template, hash } = await files();
    const isRoom = file === 'admin.html';
    const own = inEnglishOnly.has(file) ? inEnglish(about) : about;
    const { shop } = own;
    const { html: source, styleHash, scriptHashes } = template(file, own.reader.language);
    const path = response.req.path;
    // The form of a sale offers one only where the operator has plugged it in.
    const captcha = new Html(isRoom && settings.CAPTCHA_PROVIDER !== 'none' ? ' data-captcha' : '');
    // All staff read and type prices in the shop's locale.
    const ofRoom = isRoom ? html` data-money-locale="${settings.SHOP_LOCALE}"` : '';
    const style = styleOf(shop.theme);
    const body = fill(withPlaces(source), {
      ...textsOf(isRoom ? { ...own.texts, ...roomTexts(own.reader.language) } : own.texts),
      root: html`lang="${own.reader.language}" data-locale="${own.reader.locale}" data-time-zone="${settings.SHOP_TIME_ZONE}" data-shop="${shop.name}" data-currency="${shop.theme.currency}" data-languages="${shop.theme.languages.join(' ')}"${ofRoom}${captcha}`,
      ...shellOf(own, path, hash),
      theme: new Html(style && `<style>${style}</style>`),
      title: shop.name,
      openGraph: '',
      shop: shop.name,
      ...values,
    });
    const etag = createHash('sha256').update(body).digest('base64url').slice(0, 16);
    const policy = String(response.getHeader('Content-Security-Policy'));
    const styleHashes = styleHash ? [styleHash, ...(style ? [sha256(style)] : [])] : [];
    const allowed = allow(allow(policy, 'style-src', styleHashes), 'script-src', scriptHashes);
    response.set('Content-Security-Policy', allowed);
    // Its address may have the secret of a payment, with which a provider sends a buyer back.
    if (status === 200 && response.req.query.payment_intent_client_secret === undefined)
      response.set(keptByEdges);
    response
      .status(status)
      .set({ 'Cache-Control': 'no-cache', Vary: 'Accept-Language, Cookie', ETag: `"${etag}"` })
      .type('html')
      .send(body);
  }

  const router = Router();
  router.get(['/', '/index.html'], async (request, response) => {
    const [about, sales] = await Promise.all([context(request), shown.list()]);
    await send(response, 'index.html', { values: viewOfList(sales, about) }, about);
  });
  router.get('/sales/:id', async (request, response, next) => {
    const { id } = request.params;
    // Only staff see a draft, whom the page knows and a request for it does not.
    const isPreview = request.query.preview !== undefined;
    const reading = isPreview ? undefined : isId(id) ? shown.sale(id) : null;
    const [about, sale, others] = await Promise.all([context(request), reading, shown.list()]);
    if (sale === null) return next();
    if (!sale) return await send(response, 'sale.html', { values: unknownSale(about) }, about);
    const view = viewOfSale(sale, `${base}/sales/${id}`, about);
    const isShown = leadsOn(sale.status);
    const values = { ...view, ...viewOfOthers(others, { except: id, isShown }, about) };
    await send(response, 'sale.html', { values }, about);
  });
  router.get('/sales/:id/calendar.ics', async (request, response, next) => {
    const { id } = request.params;
    const sale = isId(id) ? await shown.sale(id) : null;
    if (sale === null) return next();
    if (!sale) {
      const away = refuse('unavailable', 'A part of the shop is away. Try again.');
      if (!(await showProblem(request, response, away))) sendRefusal(response, away);
      return;
    }
    response
      .attachment('sale.ics')
      .type('text/calendar; charset=utf-8')
      .send(calendarOf(sale, `${base}/sales/${id}`));
  });
  router.get('/draws/:id', async (request, response) => {
    const { id } = request.params;
    const [about, draw] = await Promise.all([context(request), isId(id) ? shown.draw(id) : null]);
    await send(response, 'draws.html', { values: viewOfDraw(draw, id, about) }, about);
  });
  router.get('/account', async (request, response) => {
    const about = await context(request);
    await send(response, 'account.html', { values: viewOfAccount(about) }, about);
  });
  for (const [address, file] of Object.entries(addresses))
    router.get(address, async (request, response) => send(response, file, {}, await context(request)));

  const current = filesOfPages({ immutable: true, maxAge: '365d' });
  router.use(['/bundles/:hash', '/assets/:hash'], async (request, response, next) => {
    const { hash, scripts } = await files();
    if (request.params.hash !== hash) return next();
    const script = scripts.get(request.url);
    if (!script) return current(request, response, next);
    for (const name of ofDocuments) response.removeHeader(name);
    response.set('Cache-Control', 'public, max-age=31536000, immutable').type('js').send(script);
  });

  for (const file of filesForAnySite) {
    router.get(`/${file}`, (_request, response) =>
      response.set(openToAnySite).sendFile(file, { root: folder }),
    );
  }
  for (const file of ['uPlot.esm.js', 'uPlot.min.css']) {
    router.get(`/vendor/uplot/${file}`, (_request, response) =>
      response.sendFile(file, { root: charts, maxAge: '1h' }),
    );
  }
  router.use(filesOfPages());

  return { router, showProblem };

  async function showProblem(request: Request, response: Response, refused: Refusal): Promise<boolean> {
    if (request.method !== 'GET' || request.path.startsWith('/api/')) return false;
    if (!/\btext\/html\b/.test(request.get('accept') ?? '')) return false;
    const [about, others] = await Promise.all([context(request), shown.list()]);
    const { texts } = about;
    const { status } = refused.problem;
    const isMissing = status < 500 && status !== 429;
    const isSale = request.path.startsWith('/sales/');
    const values = {
      title: isMissing ? (isSale ? texts.saleMissing : texts.pageMissing) : texts.shopAway,
      explanation: isMissing ? texts.pageMissingWhy : texts.shopAwayWhy,
      ...viewOfOthers(others, { isShown: true }, about),
    };
    response.set(refused.headers);
    await send(response, 'error.html', { status, values }, about);
    return true;
  }
}

/** Allows what is in the page itself as well; the policy of a captcha or of payments has a list already. */
function allow(policy: string, directive: 'style-src' | 'script-src', hashes: string[]): string {
  if (hashes.length === 0) return policy;
  const list = `${directive} ${hashes.map((one) => `'sha256-${one}'`).join(' ')}`;
  return policy.includes(directive) ? policy.replace(directive, list) : `${policy};${list} 'self'`;
}

/** Their own texts are not translated. */
const inEnglishOnly = new Set(['docs.html', 'embed.html']);

const inEnglish = ({ timeZone, shop }: PageContext) =>
  contextFor({ headers: {} }, { timeZone, shop: { ...shop, theme: { ...shop.theme, languages: ['en'] } } });

const isId = (text: string) => /^[\w-]{1,64}$/.test(text);

/** Puts a placeholder into each element with `data-text`, and into the label of each with `data-label`. */
const withPlaces = (page: string) =>
  page
    .replace('<html lang="en"', '<html {{root}}')
    .replace(/ data-text="([\w-]+)"([^>]*)>[^<]*</g, '$2>{{text.$1}}<')
    .replace(/aria-label="[^"]*" data-label="(\w+)"/g, 'aria-label="{{text.$1}}"');

const roomTextsIn = { en: english, de: german, fr: french };

/** The control room's own texts, and the names of its views. */
function roomTexts(language: Language): object {
  const { tabs, ...texts } = roomTextsIn[language];
  return { ...texts, ...tabs };
}

/** The texts as values of `{{text.name}}`. All placeholders are filled in at once, so that none in a value is. */
const textsOf = (texts: object): Values =>
  Object.fromEntries(
    Object.entries(texts).flatMap(([key, text]) => (typeof text === 'string' ? [[`text.${key}`, text]] : [])),
  );

/** The parts that all pages share. */
function shellOf({ texts, shop }: PageContext, path: string, hash: string): Values {
  const link = (href: string, text: string, kind: string) =>
    html`<a href="${href}"${new Html(kind)}${new Html(href === path ? ' aria-current="page"' : '')}>${text}</a>`;
  const { theme } = shop;
  const logo = theme.logo ? html`<img src="${theme.logo}" alt="" height="32">` : '';
  const links = (['imprint', 'privacy', 'terms'] as const).flatMap((kind) =>
    theme.links[kind] ? [html`<a href="${theme.links[kind]}">${texts.shopLinks[kind]}</a>`] : [],
  );
  return {
    head: html`<meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1, viewport-fit=cover">
    <meta name="color-scheme" content="light dark">
    <link rel="icon" href="/bundles/${hash}/favicon.svg" type="image/svg+xml">`,
    header: html`<header class="site-header">
      <a href="#main" class="skip">${texts.skip}</a>
      <a href="/" class="brand">${logo}<span dir="auto">${shop.name}</span></a>
      <nav>${link('/', texts.navSales, ' class="wide-only"')}${link('/orders', texts.navOrders, '')}</nav>
      <a href="/account" class="account" dir="auto" data-testid="account">${texts.navSignIn}</a>
    </header>`,
    footer: links.length > 0 ? html`<footer class="site-footer">${links}</footer>` : '',
  };
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

/** The custom elements for other sites, and what they import. */
const filesForAnySite = ['embed.js', 'buy.js', 'sale/proof-of-work.js'];

/** A CDN may keep what is the same for everybody for a second (RFC 9213); browsers ask each time. */
export const keptByEdges = { 'CDN-Cache-Control': 'max-age=1' } as const;

/** Headers of the embedded element and the snapshot that it reads, which other sites may load because both are public. */
export const openToAnySite = {
  'Access-Control-Allow-Origin': '*',
  'Cross-Origin-Resource-Policy': 'cross-origin',
} as const;
