import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import { Router } from 'express';
import { openApiOf } from '../http/openapi.ts';
import type { Route } from '../http/route.ts';

const swagger = dirname(createRequire(import.meta.url).resolve('swagger-ui-dist'));

/** `/openapi.json`, and what its page, `/docs`, loads: Swagger UI, which is served from here and not from a CDN. */
export function docsRoutes(routes: Route[]): Router {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
  const document = JSON.stringify(openApiOf(routes, version));
  const router = Router();
  router.get('/openapi.json', (_request, response) => {
    response.type('json').set('Cache-Control', 'no-cache').send(document);
  });
  // By name: the package also holds source maps and a page of its own.
  for (const file of ['swagger-ui.css', 'swagger-ui-bundle.js']) {
    router.get(`/docs/${file}`, (_request, response) => response.sendFile(file, { root: swagger }));
  }
  return router;
}
