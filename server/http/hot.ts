import type { IncomingMessage, ServerResponse } from 'node:http';
import { NodeRequest, type RequestBounds } from './node-request.ts';
import type { Respond } from './pipeline.ts';
import { requestIdHeader, requestIdOf } from './request-id.ts';
import type { Route } from './route.ts';

/** Answers the request if it belongs to a hot route. @returns whether it does. */
type HotPath = (request: IncomingMessage, response: ServerResponse) => boolean;

const noQuery = {};

/**
 * Serves the busiest routes on Node's own HTTP server: Express' router, body parser and response took
 * 176 of a server's 299 µs of CPU for a purchase. A request with another method, a query or an invalid id is left to Express,
 * which serves these routes as well.
 * @param fixed headers of every answer.
 */
export function openHotPath(
  routes: Route[],
  respond: Respond,
  bounds: RequestBounds,
  fixed: Record<string, string>,
): HotPath {
  const hot = routes
    .filter((route) => route.hot)
    .map((route) => ({ route, method: route.method.toUpperCase(), pattern: patternOf(route.path) }));
  // A flat list of names and values is used, because Node copies and iterates over an object first.
  const first = Object.entries(fixed).flat();

  async function serve(route: Route, id: string, request: IncomingMessage, response: ServerResponse) {
    const input = { params: { id }, query: noQuery };
    const { status, body, headers } = await respond(route, new NodeRequest(request, response, input, bounds));
    // The request was answered at its deadline: see connections/deadline.ts.
    if (response.headersSent) return;
    const json = JSON.stringify(body);
    const list = [...first, requestIdHeader, requestIdOf(request)];
    for (const name in headers) list.push(name, headers[name] as string);
    list.push('Content-Length', String(Buffer.byteLength(json)));
    response.writeHead(status, list);
    response.end(json);
  }

  return (request, response) => {
    for (const { route, method, pattern } of hot) {
      if (request.method !== method) continue;
      const id = pattern.exec(request.url ?? '')?.[1];
      if (id === undefined) continue;
      serve(route, id, request, response).catch(() => response.destroy());
      return true;
    }
    return false;
  };
}

/** Matches a route's path; `[\w-]` are the only characters of an id. */
function patternOf(path: string): RegExp {
  return new RegExp(`^${path.replace(':id', '([\\w-]+)')}$`);
}
