import type { z } from 'zod';
import type { AnswerHeader } from './openapi.ts';
import type { HttpRequest } from './pipeline.ts';
import type { ProblemName, Refusal } from './problems.ts';
import type { Identity } from './tokens.ts';

/** `buyer` lets in whoever has an account; `admin` only admins. */
export type Access = 'anyone' | 'buyer' | 'admin';

/** What a handler is given: input that was checked against the route's schemas, and who asks. */
export interface Call<Params, Query, Body, Who extends Identity | null> {
  params: Params;
  query: Query;
  body: Body;
  /** Null on a route for anyone. */
  identity: Who;
  /** What was sent to a route with `takesIdempotencyKey`. */
  idempotencyKey: string | undefined;
  request: HttpRequest;
}

export interface Answer {
  status: number;
  body?: unknown;
  /** Instead of a body: sent while it is made. */
  text?: AsyncIterable<string>;
  headers?: Record<string, string>;
}

/** An endpoint: who may call it, what it takes, what `/openapi.json` says of it, and the function that answers. */
interface Endpoint<Params, Query, Body, To extends Access, Who extends Identity | null> {
  method: 'get' | 'post' | 'patch' | 'delete';
  path: string;
  access: To;
  summary: string;

  params?: z.ZodType<Params>;
  query?: z.ZodType<Query>;
  body?: z.ZodType<Body>;
  /** Instead of JSON: the bytes of a file, at most so many. The handler looks at what they are. */
  fileMaxBytes?: number;
  takesIdempotencyKey?: true;
  /** `Prefer: wait` holds the answer until its order is settled; then it is 200 with this. */
  afterWaiting?: z.ZodType;
  /** While challenges are turned on. */
  takesProofOfWork?: true;
  /** Asks for the cookie that a sign-in sets. */
  takesSessionCookie?: true;

  /** The status of success, and what is in its body; null when there is none. */
  answer: readonly [number, z.ZodType | null];
  /** Headers that the answer always carries. */
  headers?: readonly AnswerHeader[];
  /** The media type of an answer that is not JSON. */
  media?: string;
  /** Refusals of its own. Those of its access and input follow from them. */
  problems?: readonly ProblemName[];

  /** A limit of its own, by account, instead of the one of all requests. */
  limit?: 'purchases';
  /** Served without Express, because it is one of the busiest: see hot.ts. */
  hot?: true;
  handle(call: Call<Params, Query, Body, Who>): Promise<Answer | Refusal> | Answer | Refusal;
}

export type Route = Endpoint<unknown, unknown, unknown, Access, Identity | null>;

/** Writes a route so that its handler's types follow from its schemas and its access. */
export function route<Params, Query, Body, To extends Access>(
  endpoint: Endpoint<Params, Query, Body, To, To extends 'anyone' ? null : Identity>,
): Route {
  return endpoint as unknown as Route;
}
