import type { RequestListener } from 'node:http';
import express, { type Router } from 'express';
import helmet from 'helmet';
import type { Config } from '../runtime/config.ts';
import type { Log } from '../runtime/observe/log.ts';
import { captchaProviders } from './bots/captcha.ts';
import { openTrust } from './http/client-address.ts';
import { answerAcrossOrigins, preflights } from './http/cors.ts';
import { serveRoutes } from './http/express.ts';
import { openHotPath } from './http/hot.ts';
import { openIdentification } from './http/identity/identification.ts';
import { limitOf, openRequestLimits } from './http/limits.ts';
import { openPipeline } from './http/pipeline.ts';
import { allowOnly, answerProblems, unknownRoute } from './http/problems.ts';
import { requestIdHeader, requestIdOf } from './http/request-id.ts';
import { docsRoutes } from './pages/docs.ts';
import { openPages } from './pages/pages.ts';
import { openShownSales } from './pages/shown-sales.ts';
import type { ProviderAccess } from './provider-access.ts';
import { boardRoutes } from './routes/admin/queue-board.ts';
import { pictureRoutes } from './routes/pictures.ts';
import { apiRoutes } from './routes/routes.ts';
import type { Shop } from './shop.ts';

/** Answers of the API need no document policies, because `nosniff` keeps browsers from reading JSON as a document. */
const onApi = { 'Cross-Origin-Resource-Policy': 'same-origin', 'X-Content-Type-Options': 'nosniff' };

/** Stripe's form runs in frames of Stripe's own, so that our scripts cannot read a card. It is on the page of an order alone. */
const ofStripe = {
  scriptSrc: ["'self'", 'https://js.stripe.com', 'https://*.js.stripe.com'],
  frameSrc: ['https://js.stripe.com', 'https://*.js.stripe.com', 'https://hooks.stripe.com'],
  connectSrc: ["'self'", 'https://api.stripe.com'],
};

/** The form of the captcha's provider, on the pages where people sign up and take places. */
function ofCaptcha(origins: readonly string[]): Record<string, string[]> {
  const ours = ["'self'", ...origins];
  return { scriptSrc: ours, frameSrc: [...origins], connectSrc: ours, styleSrc: ours };
}

/** The pages load only their own files and pictures over https, and connect only to this site. */
const policyOf = (more: Record<string, string[]> = {}, { hasPopups = false } = {}) =>
  helmet({
    // A wallet or a bank may open a window of its own at paying, and reports to the form that has opened it.
    crossOriginOpenerPolicy: { policy: hasPopups ? 'same-origin-allow-popups' : 'same-origin' },
    contentSecurityPolicy: {
      useDefaults: false,
      directives: {
        defaultSrc: ["'self'"],
        ...more,
        // A product's picture may be at any https address.
        imgSrc: ["'self'", 'data:', 'https:'],
        objectSrc: ["'none'"],
        baseUri: ["'none'"],
        formAction: ["'self'"],
        frameAncestors: ["'none'"],
      },
    },
    // These four headers matter only to old browsers, which cannot show these pages anyway.
    xDnsPrefetchControl: false,
    xDownloadOptions: false,
    xPermittedCrossDomainPolicies: false,
    xXssProtection: false,
    // The proxy in front sets it, because only the proxy knows whether there is TLS.
    strictTransportSecurity: false,
  });

/** Maximum size of a JSON body; a route for pictures has a limit of its own. */
const bodyMaxBytes = 16_384;

/** @param probes the routes for orchestrators and Prometheus. */
export function createApp(
  shop: Shop,
  config: Config,
  probes: Router[],
  log: Log,
  provider: ProviderAccess | null = null,
): RequestListener {
  const instance = { 'X-Instance': config.INSTANCE };
  const onOthers = policyOf();
  const { captcha } = shop;
  const onPages = captcha ? policyOf(ofCaptcha(captchaProviders[captcha.provider].origins)) : onOthers;
  const onPaying = config.PAYMENT_PROVIDER === 'stripe' ? policyOf(ofStripe, { hasPopups: true }) : onOthers;
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  const trusts = openTrust(config);
  app.set('trust proxy', trusts);
  // Query strings are not parsed into objects: `?a[$ne]=1` is a field called `a[$ne]`.
  app.set('query parser', 'simple');

  app.use((request, response, next) => {
    response.set({ ...instance, [requestIdHeader]: requestIdOf(request) });
    const { path } = request;
    if (!path.startsWith('/api/')) {
      const policy = path.startsWith('/orders/') ? onPaying : path.startsWith('/admin') ? onOthers : onPages;
      return policy(request, response, next);
    }
    response.set(onApi);
    next();
  });
  const isMongoAway = () => shop.availability.isAway('mongodb');
  const wrongKeys = limitOf(config, 'wrong-keys', config.WRONG_API_KEYS_PER_ADDRESS_PER_MINUTE);
  const identify = openIdentification(shop.tokens, shop.collections, wrongKeys, provider, isMongoAway);
  const routes = apiRoutes(shop, identify);
  const answer = openPipeline(identify, openRequestLimits(config), log);
  const respond = answerAcrossOrigins(answer, config.ALLOWED_ORIGINS);
  const bounds = { bodyMaxBytes, trusts };
  const answersHot = openHotPath(routes, respond, bounds, { ...onApi, ...instance });
  app.use(preflights(routes, config.ALLOWED_ORIGINS));
  app.use(serveRoutes(routes, respond, bounds));
  app.use(docsRoutes(routes));
  app.use(...probes);

  app.use(pictureRoutes(shop.collections));
  app.use(boardRoutes(shop));
  const pages = openPages(config, openShownSales(shop, isMongoAway), log);
  app.use(pages.router);

  app.all(['/healthz', '/health', '/readyz', '/openapi.json', '/docs'], allowOnly(['GET']));
  const showProblem = pages.showProblem;
  app.use(unknownRoute(showProblem));
  app.use(answerProblems(log, showProblem));
  return (request, response) => {
    if (!answersHot(request, response)) app(request, response);
  };
}
