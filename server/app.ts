import express, { type Express } from 'express';
import helmet from 'helmet';
import type { Config } from '../runtime/config.ts';
import { type Dependencies, healthRoutes } from '../runtime/health.ts';
import type { Log } from '../runtime/log.ts';
import { docsRoutes } from './docs.ts';
import { openRequestLimits } from './limits.ts';
import { pageRoutes } from './pages.ts';
import { pictureRoutes } from './pictures.ts';
import { answerProblems, onlyGet, unknownRoute } from './problems.ts';
import { boardRoutes } from './queue-board.ts';
import { serveRoutes } from './route.ts';
import { apiRoutes } from './routes.ts';
import type { Shop } from './shop.ts';

/** The pages load nothing but their own files, and speak to nobody but this site. */
const securityHeaders = helmet({
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
  // The proxy in front knows whether there is TLS.
  strictTransportSecurity: false,
});

export function createApp(shop: Shop, config: Config, dependencies: Dependencies, log: Log): Express {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.set('trust proxy', config.TRUST_PROXY_HOPS);
  // Query strings are flat texts: `?a[$ne]=1` is a field called `a[$ne]`.
  app.set('query parser', 'simple');

  app.use(securityHeaders);
  app.use('/api', (_request, response, next) => {
    response.set('X-Instance', config.INSTANCE);
    next();
  });
  const routes = apiRoutes(shop);
  const limits = openRequestLimits(config);
  app.use(serveRoutes(routes, shop.tokens, { bodyMaxBytes: config.BODY_MAX_BYTES, limits }));
  app.use(docsRoutes(routes));
  app.use(healthRoutes(dependencies));

  app.use(pictureRoutes(shop.collections));
  app.use(boardRoutes(shop.queue, shop.redis));
  app.use(pageRoutes());

  app.all(['/healthz', '/readyz', '/openapi.json', '/docs'], onlyGet);
  app.use(unknownRoute);
  app.use(answerProblems(log));
  return app;
}
