import type { z } from 'zod';
import type { HttpRequest } from './pipeline.ts';
import type { Refusal } from './problems.ts';
import type { Identity } from './tokens.ts';

/** `buyer` lets in whoever has an account; `admin` only admins. */
export type Access = 'anyone' | 'buyer' | 'admin';

/** What a handler is given: input that was checked against the route's schemas, and who asks. */
export interface Call<
  Params = unknown,
  Query = unknown,
  Body = unknown,
  Who extends Identity | null = Identity,
> {
  params: Params;
  query: Query;
  body: Body;
  /** Null on a route for anyone. */
  identity: Who;
  request: HttpRequest;
}

export interface Answer {
  status: number;
  body?: unknown;
  /** Instead of a body: sent while it is made. */
  text?: AsyncIterable<string>;
  headers?: Record<string, string>;
}

type Handler<AnyCall> = (call: AnyCall) => Promise<Answer | Refusal> | Answer | Refusal;

export interface Route {
  method: 'get' | 'post' | 'patch' | 'delete';
  path: string;
  access: Access;
  params: z.ZodType | undefined;
  query: z.ZodType | undefined;
  body: z.ZodType | undefined;
  /** Instead of JSON: the bytes of a file, at most so many. The handler looks at what they are. */
  fileMaxBytes?: number | undefined;
  /** A limit of its own, by account, instead of the one of all requests. */
  limit?: 'purchases' | undefined;
  /** A crowd of buyers uses it: see hot.ts. */
  hot?: boolean | undefined;
  handle: Handler<Call<unknown, unknown, unknown, Identity | null>>;
}

/** Writes a route so that its handler's types follow from its schemas. */
export function route<Params, Query, Body, To extends Access>(
  method: Route['method'],
  path: string,
  access: To,
  handle: Handler<Call<Params, Query, Body, To extends 'anyone' ? null : Identity>>,
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
