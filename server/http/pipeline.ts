import type { z } from 'zod';
import type { Log } from '../../runtime/observe/log.ts';
import type { Problem } from '../../sale/contract.ts';
import type { Identify } from './identity/identification.ts';
import type { Identity } from './identity/tokens.ts';
import { idempotencyKey } from './inputs.ts';
import { allow, type RequestLimits } from './limits.ts';
import { isRefusal, problemType, type Refusal, refusalOf, refuse, reportRefusal } from './problems.ts';
import type { Answer, Call, Route } from './route.ts';

/** A request, independent of Express. */
export interface HttpRequest {
  readonly method: string;
  readonly url: string;
  /** When its headers came, by `performance.now()`. */
  readonly receivedAtMs: number;
  readonly params: unknown;
  readonly query: unknown;
  /** The client's address. */
  readonly address: string;
  /** The client's address, or the network that it has to itself. */
  readonly network: string;
  /** Whether it came over TLS. */
  readonly isSecure: boolean;
  header(name: string): string | undefined;
  /** Calls the listener when the answer was sent or the client has disconnected. */
  onClosed(listener: () => void): void;
  /** @returns the parsed JSON, the bytes of the file, or a refusal. */
  readBody(route: Pick<Route, 'file'>): Promise<unknown>;
}

/** An answer or a refusal in the form in which it is sent, without the headers that every answer has. */
interface Reply extends Answer {
  headers: Record<string, string>;
}

/** Answers one request to a route. The promise never rejects. */
export type Respond = (route: Route, request: HttpRequest) => Promise<Reply>;

/** Handles every request to the API in the same steps: identify, limit, parse, handle, answer or refuse. */
export function openPipeline(identify: Identify, limits: RequestLimits, log: Log): Respond {
  async function outcomeOf(route: Route, request: HttpRequest, identity: Identity | null) {
    const body = route.body || route.file ? await request.readBody(route) : undefined;
    if (isRefusal(body)) return body;
    const call = readCall(route, request, identity, body);
    return isRefusal(call) ? call : await route.handle(call);
  }

  return async (route, request) => {
    let limitHeaders = none;
    try {
      // Identification comes first, so that a stranger learns nothing about the expected input.
      const identified = identify(route, request);
      const identity = identified instanceof Promise ? await identified : identified;
      if (isRefusal(identity)) return replyOf(identity, none);
      const allowed = countRequest(route, limits, identity, request);
      if (isRefusal(allowed)) return replyOf(allowed, none);
      limitHeaders = allowed;
      const outcome = await outcomeOf(route, request, identity);
      return replyOf(isRefusal(outcome) ? reportRefusal(outcome, request, log) : outcome, limitHeaders);
    } catch (error) {
      return replyOf(reportRefusal(refusalOf(error), request, log, error), limitHeaders);
    }
  };
}

const none: Record<string, string> = {};

/** Counts by the account's person when there is one, so that an office behind one address does not share one limit. */
function countRequest(
  { limit }: Route,
  limits: RequestLimits,
  identity: Identity | null,
  request: HttpRequest,
): Record<string, string> | Refusal {
  const ofAccount = identity?.role === 'api_key' ? 'requestsOfApiKey' : (limit ?? 'requestsOfAccount');
  const limiter = limits[identity ? ofAccount : 'requestsOfAddress'];
  return allow(limiter, limiter.take(identity?.personId ?? request.network));
}

const optionalKey = idempotencyKey.optional();

function readCall(
  route: Route,
  request: HttpRequest,
  identity: Identity | null,
  sent: unknown,
): Call<unknown, unknown, unknown, Identity | null> | Refusal {
  const params = parse(route.params, request.params, 'path');
  if (isRefusal(params)) return params;
  const query = parse(route.query, request.query, 'query');
  if (isRefusal(query)) return query;
  const body = route.file ? sent : parse(route.body, sent, 'body');
  if (isRefusal(body)) return body;
  const keySchema = route.takesIdempotencyKey ? optionalKey : undefined;
  const key = parse(keySchema, request.header('idempotency-key'), 'Idempotency-Key');
  if (isRefusal(key)) return key;
  return { params, query, body, identity, idempotencyKey: key, request };
}

const ofAnswers = { 'Cache-Control': 'no-store' };
const ofJson = { ...ofAnswers, 'Content-Type': 'application/json; charset=utf-8' };
const ofProblems = { 'Content-Type': problemType };

function replyOf(outcome: Answer | Refusal, limitHeaders: Record<string, string>): Reply {
  if (isRefusal(outcome)) {
    const { problem, headers } = outcome;
    return { status: problem.status, body: problem, headers: { ...limitHeaders, ...headers, ...ofProblems } };
  }
  const { body, headers } = outcome;
  const usual = body === undefined ? ofAnswers : ofJson;
  return { ...outcome, headers: { ...limitHeaders, ...usual, ...headers } };
}

/** @returns the parsed value, or a refusal with 400 that names each invalid field. */
export function parse<Value>(
  schema: z.ZodType<Value> | undefined,
  value: unknown,
  where: string,
): Value | Refusal {
  if (!schema) return undefined as Value;
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const errors = parsed.error.issues.flatMap((issue) => {
    const fields = issue.code === 'unrecognized_keys' ? issue.keys : [undefined];
    return fields.map((field) => ({
      field: [...issue.path, ...(field === undefined ? [] : [field])].join('.') || where,
      message: field === undefined ? issue.message : 'not expected here',
      ...faultOf(issue),
    }));
  });
  const summary = errors.map(({ field, message }) => `${field}: ${message}`).join('; ');
  return refuse('invalid-input', summary, { errors });
}

type FieldError = NonNullable<Problem['errors']>[number];

/** What pages say about an issue of the schema, in the reader's language. */
function faultOf(issue: z.core.$ZodIssue): Pick<FieldError, 'fault' | 'limit'> {
  if (issue.code === 'invalid_type' && issue.input === undefined) return { fault: 'missing' };
  if (issue.code !== 'too_small' && issue.code !== 'too_big') return {};
  const isSmall = issue.code === 'too_small';
  const limit = Number(isSmall ? issue.minimum : issue.maximum);
  if (issue.origin === 'string') return { fault: isSmall ? 'tooShort' : 'tooLong', limit };
  if (issue.origin === 'array') return { fault: isSmall ? 'tooFew' : 'tooMany', limit };
  return { fault: isSmall ? 'tooSmall' : 'tooBig', limit };
}
