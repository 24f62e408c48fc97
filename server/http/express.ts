import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type Request, type Response, Router } from 'express';
import { NodeRequest, type RequestBounds } from './node-request.ts';
import type { Respond } from './pipeline.ts';
import { allowOnly } from './problems.ts';
import type { Route } from './route.ts';

/** Serves a table of routes; a known path with another method is answered 405. */
export function serveRoutes(routes: Route[], respond: Respond, bounds: RequestBounds): Router {
  const router = Router();
  async function serve(route: Route, request: Request, response: Response): Promise<void> {
    const { status, body, text, headers } = await respond(
      route,
      new NodeRequest(request, response, request, bounds),
    );
    // The request was answered at its deadline: see connections/deadline.ts.
    if (response.headersSent) return;
    response.status(status).set(headers);
    if (text) await pipeline(Readable.from(text), response);
    else if (body === undefined) response.end();
    else response.json(body);
  }
  for (const route of routes)
    router[route.method](route.path, (request, response) => serve(route, request, response));
  for (const path of new Set(routes.map((route) => route.path))) {
    const here = routes.filter((route) => route.path === path);
    router.all(path, allowOnly(here.map(({ method }) => method.toUpperCase())));
  }
  return router;
}
