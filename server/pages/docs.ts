import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import { Router } from 'express';
import { openApiOf } from '../http/openapi.ts';
import type { Route } from '../http/route.ts';

const swagger = dirname(createRequire(import.meta.url).resolve('swagger-ui-dist'));

/** The OpenAPI document of these routes as JSON. */
export function openApiText(routes: Route[]): string {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
  return JSON.stringify(openApiOf(routes, version));
}

/** Serves `/openapi.json`, and the files of Swagger UI for its page `/docs`, so that no CDN is needed. */
export function docsRoutes(routes: Route[]): Router {
  const document = openApiText(routes);
  const router = Router();
  router.get('/openapi.json', (_request, response) => {
    response.type('json').set('Cache-Control', 'no-cache').send(document);
  });
  // Files are listed by name, because the package also contains source maps and a page of its own.
  for (const file of ['swagger-ui.css', 'swagger-ui-bundle.js']) {
    router.get(`/docs/${file}`, (_request, response) => response.sendFile(file, { root: swagger }));
  }
  return router;
}
