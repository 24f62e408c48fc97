import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import express, { type Request, type RequestHandler, type Response, Router } from 'express';
import type { z } from 'zod';
import { networkOf } from './client-address.ts';
import { type RequestLimits, requireAllowed } from './limits.ts';
import { HttpProblem } from './problems.ts';
import { bearerOf, type Identity, type Tokens } from './tokens.ts';

/** What a handler is given: input that was checked against the route's schemas, and who asks. */
export interface Call<Params = unknown, Query = unknown, Body = unknown> {
  params: Params;
  query: Query;
  body: Body;
  /** Null on a route for anyone. */
  identity: Identity | null;
  /** The client's address, or the network that it has to itself. */
  network: string;
  /** Whether it came over TLS. */
  isSecure: boolean;
  header(name: string): string | undefined;
  /** Calls back when the answer was sent, or its client is gone. */
  onClosed(listener: () => void): void;
}

export interface Answer {
  status: number;
  body?: unknown;
  /** Instead of a body: sent while it is made. */
  text?: AsyncIterable<string>;
  headers?: Record<string, string>;
}

export interface Route {
  method: 'get' | 'post' | 'patch' | 'delete';
  path: string;
  /** `buyer` lets in whoever has an account; `admin` only admins. */
  access: 'anyone' | 'buyer' | 'admin';
  params: z.ZodType | undefined;
  query: z.ZodType | undefined;
  body: z.ZodType | undefined;
  /** Instead of JSON: the bytes of a file, at most so many. The handler looks at what they are. */
  fileMaxBytes?: number | undefined;
  /** A limit of its own, by account, instead of the one of all requests. */
  limit?: 'purchases' | undefined;
  /** A crowd of buyers uses it: see hot.ts. */
  hot?: boolean | undefined;
  handle: (call: Call) => Promise<Answer> | Answer;
}

/** Writes a route so that its handler's types follow from its schemas. */
export function route<Params, Query, Body>(
  method: Route['method'],
  path: string,
  access: Route['access'],
  handle: (call: Call<Params, Query, Body>) => Promise<Answer> | Answer,
  input: {
    params?: z.ZodType<Params>;
    query?: z.ZodType<Query>;
    body?: z.ZodType<Body>;
    fileMaxBytes?: number;
    limit?: Route['limit'];
    hot?: boolean;
  } = {},
): Route {
  const { params, query, body, fileMaxBytes, limit, hot } = input;
  const answered = { params, query, body, fileMaxBytes, limit, hot, handle: handle as Route['handle'] };
  return { method, path, access, ...answered };
}

/** Serves a table of routes; a known path with another method is answered 405. */
export function serveRoutes(
  routes: Route[],
  tokens: Tokens,
  { bodyMaxBytes, limits }: { bodyMaxBytes: number; limits: RequestLimits },
): Router {
  const router = Router();
  const readJson = express.json({ limit: bodyMaxBytes, type: 'application/json' });
  for (const entry of routes) {
    // Who asks comes first: a stranger learns nothing about what the input should have been.
    const steps: RequestHandler[] = [admitTo(entry, tokens), keepTo(entry, limits)];
    if (entry.body) steps.push(readJson);
    if (entry.fileMaxBytes) steps.push(express.raw({ limit: entry.fileMaxBytes, type: 'image/*' }));
    router[entry.method](entry.path, ...steps, (request, response) => answer(entry, request, response));
  }
  for (const path of new Set(routes.map((entry) => entry.path))) {
    const allowed = routes.filter((entry) => entry.path === path).map(({ method }) => method.toUpperCase());
    router.all(path, ({ method }) => {
      const detail = `expected ${allowed.join(' or ')}, got ${method}`;
      throw new HttpProblem('method-not-allowed', detail, {}, { Allow: allowed.join(', ') });
    });
  }
  return router;
}

function admitTo({ access }: Route, tokens: Tokens): RequestHandler {
  return (request, response, next) => {
    if (access !== 'anyone')
      response.locals.identity = identify(access, tokens, request.get('authorization'));
    next();
  };
}

/** By the account's person where there is one, so that an office behind one address is not one buyer. */
function keepTo({ limit }: Route, limits: RequestLimits): RequestHandler {
  return ({ ip = '' }, response, next) => {
    const person: string | undefined = response.locals.identity?.personId;
    const byAccount = limit ? limits[limit] : limits.requestsOfAccount;
    const limiter = person ? byAccount : limits.requestsOfAddress;
    const headers = requireAllowed(limiter, limiter.take(person ?? networkOf(ip)));
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
    next();
  };
}

/** @throws HttpProblem 401 or 403. */
export function identify(
  access: 'buyer' | 'admin',
  tokens: Tokens,
  authorization: string | undefined,
): Identity {
  const token = bearerOf(authorization);
  const identity = token && tokens.verify(token);
  if (!identity || identity.role === 'visitor') {
    const detail = token
      ? 'the token is not valid, or has expired'
      : 'expected `Authorization: Bearer <token>`';
    throw new HttpProblem('unauthorized', detail);
  }
  if (access === 'admin' && identity.role !== 'admin')
    throw new HttpProblem('forbidden', 'This is for admins');
  return identity;
}

async function answer(entry: Route, request: Request, response: Response): Promise<void> {
  if (entry.body && request.body === undefined) refuseBody(request);
  if (entry.fileMaxBytes && !Buffer.isBuffer(request.body)) refuseFile(request);
  const { status, body, text, headers } = await entry.handle({
    params: parse(entry.params, request.params, 'path'),
    query: parse(entry.query, request.query, 'query'),
    body: entry.fileMaxBytes ? request.body : parse(entry.body, request.body, 'body'),
    identity: response.locals.identity ?? null,
    network: networkOf(request.ip ?? ''),
    isSecure: request.secure,
    header: (name) => request.get(name),
    onClosed: (listener) => response.once('close', listener),
  });
  response.status(status).set({ 'Cache-Control': 'no-store', ...headers });
  if (text) await pipeline(Readable.from(text), response);
  else if (body === undefined) response.end();
  else response.json(body);
}

function refuseBody(request: Request): never {
  const type = request.get('content-type');
  if (type && !request.is('application/json')) {
    throw new HttpProblem('unsupported-media-type', `expected application/json, got ${type.slice(0, 100)}`);
  }
  throw new HttpProblem(
    'invalid-input',
    'expected a JSON body with `Content-Type: application/json`, got none',
  );
}

function refuseFile(request: Request): never {
  const got = request.get('content-type')?.slice(0, 100) ?? 'none';
  throw new HttpProblem('unsupported-media-type', `expected the bytes of an image/*, got ${got}`);
}

/** @throws HttpProblem 400 that names each field that is wrong. */
export function parse<Value>(schema: z.ZodType<Value> | undefined, value: unknown, where: string): Value {
  if (!schema) return undefined as Value;
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const errors = parsed.error.issues.flatMap((issue) => {
    const fields = issue.code === 'unrecognized_keys' ? issue.keys : [undefined];
    return fields.map((field) => ({
      field: [...issue.path, ...(field === undefined ? [] : [field])].join('.') || where,
      message: field === undefined ? issue.message : 'not expected here',
    }));
  });
  const summary = errors.map(({ field, message }) => `${field}: ${message}`).join('; ');
  throw new HttpProblem('invalid-input', summary, { errors });
}
