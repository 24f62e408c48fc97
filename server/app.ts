import type { RequestListener, ServerResponse } from 'node:http';
import express, { type Router } from 'express';
import helmet, { type HelmetOptions } from 'helmet';
import type { Config } from '../runtime/config.ts';
import type { Log } from '../runtime/observe/log.ts';
import { openHotPath } from './http/hot.ts';
import { openRequestLimits } from './http/limits.ts';
import { answerProblems, onlyGet, unknownRoute } from './http/problems.ts';
import { requestIdHeader, requestIdOf } from './http/request-id.ts';
import { serveRoutes } from './http/route.ts';
import { docsRoutes } from './pages/docs.ts';
import { pageRoutes } from './pages/pages.ts';
import { boardRoutes } from './routes/admin/queue-board.ts';
import { pictureRoutes } from './routes/pictures.ts';
import { apiRoutes } from './routes/routes.ts';
import type { Shop } from './shop.ts';

/** The headers that go with no answer. */
const onNothing = {
  // For browsers of long ago, which cannot show these pages: four headers less on every answer.
  xDnsPrefetchControl: false,
  xDownloadOptions: false,
  xPermittedCrossDomainPolicies: false,
  xXssProtection: false,
  // The proxy in front knows whether there is TLS.
  strictTransportSecurity: false,
};

/** The pages load nothing but their own files, and speak to nobody but this site. */
const onPages = headersOf({
  ...onNothing,
  contentSecurityPolicy: {
    useDefaults: false,
    directives: {
      defaultSrc: ["'self'"],
      imgSrc: ["'self'", 'data:'],
      objectSrc: ["'none'"],
      baseUri: ["'none'"],
      formAction: ["'self'"],
      frameAncestors: ["'none'"],
    },
  },
});

/** What is said of a document means nothing on JSON, which `nosniff` keeps from becoming one. A crowd reads only these. */
const onApi = headersOf({
  ...onNothing,
  contentSecurityPolicy: false,
  crossOriginOpenerPolicy: false,
  originAgentCluster: false,
  referrerPolicy: false,
  xFrameOptions: false,
});

/** They are the same for every answer, so helmet is asked once. */
function headersOf(options: HelmetOptions): Record<string, string> {
  const headers: Record<string, string> = {};
  const response = {
    setHeader: (name: string, value: string) => {
      headers[name] = value;
    },
    removeHeader() {},
  };
  const secure = helmet(options);
  secure({} as Parameters<typeof secure>[0], response as unknown as ServerResponse, () => {});
  return headers;
}

/** A picture may have more. */
const bodyMaxBytes = 16_384;

/** @param probes what orchestrators and Prometheus ask for. */
export function createApp(shop: Shop, config: Config, probes: Router[], log: Log): RequestListener {
  const instance = { 'X-Instance': config.INSTANCE };
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.set('trust proxy', config.TRUST_PROXY_HOPS);
  // Query strings are flat texts: `?a[$ne]=1` is a field called `a[$ne]`.
  app.set('query parser', 'simple');

  app.use((request, response, next) => {
    const secure = request.path.startsWith('/api/') ? onApi : onPages;
    response.set({ ...secure, ...instance, [requestIdHeader]: requestIdOf(request) });
    next();
  });
  const routes = apiRoutes(shop);
  const bounds = { bodyMaxBytes, limits: openRequestLimits(config) };
  const answersHot = openHotPath(routes, shop.tokens, { ...bounds, headers: { ...onApi, ...instance }, log });
  app.use(serveRoutes(routes, shop.tokens, bounds));
  app.use(docsRoutes(routes));
  app.use(...probes);

  app.use(pictureRoutes(shop.collections));
  app.use(boardRoutes(shop.queue, shop.redis));
  app.use(pageRoutes());

  app.all(['/healthz', '/health', '/readyz', '/openapi.json', '/docs'], onlyGet);
  app.use(unknownRoute);
  app.use(answerProblems(log));
  return (request, response) => {
    if (!answersHot(request, response)) app(request, response);
  };
}
