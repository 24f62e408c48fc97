import type { z } from 'zod';
import type { By } from '../../accounts/staff-log.ts';
import type { ApiScope } from '../../insight/contract.ts';
import type { StaffRole } from '../../sale/contract.ts';
import type { Identity } from './identity/tokens.ts';
import type { AnswerHeader } from './openapi.ts';
import type { HttpRequest } from './pipeline.ts';
import type { ProblemName, Refusal } from './problems.ts';

/** `buyer` allows every account; a role of staff allows it and the ones above it. */
export type Access = 'anyone' | 'buyer' | StaffRole;

/** The input of a handler, which the route's schemas have validated, and the caller's identity. */
export interface Call<Params, Query, Body, Who extends Identity | null> {
  params: Params;
  query: Query;
  body: Body;
  /** Null on a route that anyone may call. */
  identity: Who;
  /** The key that was sent to a route with `takesIdempotencyKey`. */
  idempotencyKey: string | undefined;
  request: HttpRequest;
}

/** Who makes this call, for the staff log. */
export function byOf({ identity, request }: { identity: Identity; request: HttpRequest }): By {
  const { userId: id, role, keyName } = identity;
  return {
    actor:
      role === 'api_key'
        ? { kind: 'api_key', id, name: keyName ?? null, role: null }
        : { kind: 'account', id, role },
    from: request.address,
    requestId: request.header('x-request-id') ?? null,
  };
}

export interface Answer {
  status: number;
  body?: unknown;
  /** A text that replaces the body, and is sent while it is generated. */
  text?: AsyncIterable<string>;
  headers?: Record<string, string>;
}

/** An endpoint: its access, its input, its description in `/openapi.json`, and its handler. */
interface Endpoint<Params, Query, Body, To extends Access, Who extends Identity | null> {
  method: 'get' | 'post' | 'patch' | 'delete';
  path: string;
  access: To;
  /** What an API key must be allowed to do; without it the endpoint takes no API key. */
  scope?: ApiScope;
  summary: string;

  params?: z.ZodType<Params>;
  query?: z.ZodType<Query>;
  body?: z.ZodType<Body>;
  /** A file replaces the JSON body; the handler gets its bytes as they came, and checks its content. */
  file?: { type: 'image/*' | 'application/json' | 'text/csv'; maxBytes: number };
  takesIdempotencyKey?: true;
  /** Takes the ETag of what the client has seen in If-Match. */
  takesIfMatch?: true;
  /** Body of the 200 that answers `Prefer: wait` when the order is settled in time. */
  afterWaiting?: z.ZodType;
  /** Takes the answer to a puzzle, where the operator or the sale demands a proof of work. */
  takesProofOfWork?: true;
  /** Takes the token of a solved captcha, where the operator or the sale demands one. */
  takesCaptcha?: true;
  /** Takes a pass of a sale's waiting room. */
  takesRoomPass?: true;
  /** Takes a code that lets its holder into a phase of a sale, where there is no body. */
  takesCode?: true;
  /** Requires the cookie that a sign-in sets. */
  takesSessionCookie?: true;

  /** The status of success and the schema of its body, which is null when there is no body. */
  answer: readonly [number, z.ZodType | null];
  /** Headers that the answer always carries. */
  headers?: readonly AnswerHeader[];
  /** The media type of an answer that is not JSON. */
  media?: string;
  /** Refusals of this endpoint, besides those that follow from its access and input. */
  problems?: readonly ProblemName[];

  /** Whether staff may call it while MongoDB is away, which knows their role now, with the role that their token says. */
  isForOutages?: true;
  /** A rate limit by account that replaces the limit of all requests. */
  limit?: 'purchases';
  /** Whether the endpoint is served without Express, because it is one of the busiest: see hot.ts. */
  hot?: true;
  handle(call: Call<Params, Query, Body, Who>): Promise<Answer | Refusal> | Answer | Refusal;
}

export type Route = Endpoint<unknown, unknown, unknown, Access, Identity | null>;

/** Defines a route, so that its handler's types are inferred from its schemas and its access. */
export function route<Params, Query, Body, To extends Access>(
  endpoint: Endpoint<Params, Query, Body, To, To extends 'anyone' ? null : Identity>,
): Route {
  return endpoint as unknown as Route;
}
