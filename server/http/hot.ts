import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Log } from '../../runtime/observe/log.ts';
import { type RequestLimits, requireAllowed } from './limits.ts';
import { HttpProblem, problemType, reportProblem } from './problems.ts';
import { requestIdHeader, requestIdOf } from './request-id.ts';
import { type Answer, identify, parse, type Route } from './route.ts';
import type { Tokens } from './tokens.ts';

interface HotPathOptions {
  bodyMaxBytes: number;
  limits: RequestLimits;
  /** Go with every answer. */
  headers: Record<string, string>;
  log: Log;
}

interface Hot {
  entry: Route;
  access: 'buyer' | 'admin';
  pattern: RegExp;
}

/** Answers the request if it is an ordinary one of a hot route. @returns whether it does. */
type HotPath = (request: IncomingMessage, response: ServerResponse) => boolean;

/**
 * Serves the routes that a crowd uses on Node's own HTTP server: Express' router, body parser and response took
 * 176 of a server's 299 µs of CPU for a purchase. It takes only what nearly every client sends. Anything else about
 * those routes (another method, a charset, an encoding, a long body) is left to Express, which serves them as well.
 */
export function openHotPath(
  routes: Route[],
  tokens: Tokens,
  { bodyMaxBytes, limits, headers, log }: HotPathOptions,
): HotPath {
  const hot = routes.flatMap((entry) =>
    entry.hot && entry.access !== 'anyone'
      ? [{ entry, access: entry.access, pattern: patternOf(entry.path) }]
      : [],
  );

  // As a list of names and values in turns: an object Node copies and looks through first.
  const fixed = Object.entries(headers).flat();

  async function handle(
    { entry, access }: Hot,
    id: string,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<Answer> {
    const identity = identify(access, tokens, request.headers.authorization);
    const limiter = limits[entry.limit ?? 'requestsOfAccount'];
    const limitHeaders = requireAllowed(limiter, limiter.take(identity.personId));
    const body = entry.body && parseJson(await readText(request));
    const answer = await entry.handle({
      params: parse(entry.params, { id }, 'path'),
      query: undefined,
      body: parse(entry.body, body, 'body'),
      identity,
      // What only accounts ask about.
      network: '',
      isSecure: false,
      header: headerOf(request),
      onClosed: (listener) => response.once('close', listener),
    });
    return { ...answer, headers: { ...limitHeaders, ...ofAnswers, ...answer.headers } };
  }

  async function serve(one: Hot, id: string, request: IncomingMessage, response: ServerResponse) {
    try {
      send(await handle(one, id, request, response), request, response);
    } catch (error) {
      // Whoever went away in the middle of the request needs no answer.
      if (request.destroyed && !request.complete) return;
      const { problem, headers } = reportProblem(error, request, log);
      const answer = { status: problem.status, body: problem, headers: { ...headers, ...ofProblems } };
      send(answer, request, response);
    }
  }

  function send({ status, body, headers }: Answer, request: IncomingMessage, response: ServerResponse): void {
    // See deadline.ts.
    if (response.headersSent) return;
    const json = JSON.stringify(body);
    const list = [...fixed, requestIdHeader, requestIdOf(request)];
    for (const [name, value] of Object.entries(headers ?? {})) list.push(name, value);
    list.push('Content-Length', String(Buffer.byteLength(json)));
    response.writeHead(status, list);
    response.end(json);
  }

  return (request, response) => {
    for (const one of hot) {
      const { entry, pattern } = one;
      if (request.method !== entry.method.toUpperCase()) continue;
      const id = pattern.exec(request.url ?? '')?.[1];
      if (id === undefined) continue;
      if (entry.body && !hasOrdinaryBody(request, bodyMaxBytes)) return false;
      void serve(one, id, request, response);
      return true;
    }
    return false;
  };
}

/** Ids as inputs.ts has them; what is not one is for Express to refuse, and so is a query. */
function patternOf(path: string): RegExp {
  return new RegExp(`^${path.replace(':id', '([\\w-]+)')}$`);
}

function hasOrdinaryBody({ headers }: IncomingMessage, maxBytes: number): boolean {
  const bytes = Number(headers['content-length'] ?? 0);
  return (
    /^application\/json(?:; ?charset=utf-8)?$/i.test(headers['content-type'] ?? '') &&
    headers['content-encoding'] === undefined &&
    bytes > 0 &&
    bytes <= maxBytes
  );
}

const ofAnswers = { 'Cache-Control': 'no-store', 'Content-Type': 'application/json; charset=utf-8' };
const ofProblems = { 'Content-Type': problemType };

function headerOf({ headers }: IncomingMessage) {
  return (name: string) => headers[name] as string | undefined;
}

function readText(request: IncomingMessage): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', () => resolve(Buffer.concat(chunks).toString()));
    request.on('error', reject);
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new HttpProblem('invalid-input', 'The body is not valid JSON');
  }
}
