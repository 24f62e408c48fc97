import type { ErrorRequestHandler, Request, RequestHandler, Response } from 'express';
import { ProviderAway } from '../../accounts/provider/provider-keys.ts';
import { isMongoAway, isRedisAway, isWriteConflict } from '../../runtime/databases/connections.ts';
import { Overloaded } from '../../runtime/group-commit.ts';
import type { Log } from '../../runtime/observe/log.ts';
import { isRabbitAway } from '../../runtime/rabbit/rabbit.ts';
import type { Problem } from '../../sale/contract.ts';
import { PaymentFault } from '../../sale/payment/provider.ts';

export const problemTitles = {
  'invalid-input': [400, 'The request is not as expected'],
  unauthorized: [401, 'Sign in first'],
  forbidden: [403, 'Not allowed'],
  'wrong-password': [403, 'The password is wrong'],
  'email-not-verified': [403, 'Confirm your e-mail address first'],
  'not-found': [404, 'Not found'],
  'method-not-allowed': [405, 'Method not allowed'],
  'request-timeout': [408, 'The request came too slowly'],
  'sold-out': [409, 'Fewer units are left than were asked for'],
  'not-open': [409, 'The sale is not open yet'],
  paused: [409, 'The sale is paused'],
  ended: [409, 'The sale has ended'],
  draw: [409, 'The units of this sale are drawn by lot'],
  'sold-elsewhere': [409, 'Nothing is bought here'],
  'no-draw': [409, 'The sale is not a draw'],
  'beacon-not-late': [409, 'The draw does not wait for a late random number'],
  'entries-closed': [409, 'The draw takes no entries any more'],
  'no-waiting-list': [409, 'The sale has no waiting list'],
  'still-on-sale': [409, 'There are units left to buy'],
  'no-room': [409, 'The sale has no waiting room'],
  'not-called': [409, 'It is not your turn'],
  'called-too-often': [409, 'You were called too often'],
  'pass-required': [409, 'A pass of the waiting room is required'],
  'list-full': [409, 'Too many people wait already'],
  'place-offered': [409, 'The place has become an order'],
  'place-inside': [409, 'You are inside the waiting room'],
  'network-full': [409, 'Enough people from this network take part'],
  'over-limit': [409, 'Over the limit for each buyer'],
  'not-admitted': [409, 'The sale is not open for you'],
  'code-refused': [409, 'The code is not one of this sale'],
  'code-used': [409, 'The code was used as often as it may be'],
  'too-many-codes': [409, 'No more codes can be made'],
  'already-open': [409, 'The sale has opened'],
  'already-published': [409, 'The sale is published'],
  'called-off': [409, 'The sale was called off'],
  'too-few-left': [409, 'Fewer units are left than are to be withdrawn'],
  'too-many-webhooks': [409, 'No more webhooks can be added'],
  'too-many-api-keys': [409, 'No more API keys can be made'],
  'last-admin': [409, 'No admin would be left'],
  'provider-role': [409, 'The role comes from the identity provider'],
  'no-passwords': [409, 'This shop has no accounts with passwords'],
  'email-verified': [409, 'The address is verified already'],
  'no-mail': [409, 'This shop sends no mail'],
  'email-taken': [409, 'There is an account with this e-mail address'],
  'not-settled': [409, 'The order is still queued'],
  'not-payable': [409, 'The order cannot be paid'],
  'too-many-notes': [409, 'No more notes can be added'],
  'no-address': [409, 'There is no address to send to'],
  'not-cancellable': [409, 'The order cannot be cancelled'],
  'not-refundable': [409, 'That cannot be given back'],
  'link-expired': [410, 'The link was used or is too old'],
  'precondition-failed': [412, 'It has changed'],
  'body-too-large': [413, 'The body is too large'],
  'unsupported-media-type': [415, 'The body is not of the expected type'],
  'no-such-range': [416, 'There is no such range'],
  'key-reused': [422, 'The Idempotency-Key was used for another request'],
  'work-required': [428, 'A proof of work is required'],
  'proof-of-work-required': [428, 'The sale demands a proof of work'],
  'captcha-required': [428, 'A captcha is required'],
  'too-many-requests': [429, 'Too many requests'],
  'headers-too-large': [431, 'The headers are too large'],
  'internal-error': [500, 'Something broke on our side'],
  busy: [503, 'Very busy'],
  unavailable: [503, 'Not available right now'],
} as const satisfies Record<string, readonly [number, string]>;

export type ProblemName = keyof typeof problemTitles;

const refusal = Symbol('refusal');

/**
 * An error answer with RFC 9457 problem details. It is returned instead of thrown, because most answers of a sold-out sale are
 * refusals, and the stack trace of an exception was a twentieth of their cost.
 */
export interface Refusal {
  /** A symbol, so that no parsed JSON can be mistaken for a refusal. */
  readonly [refusal]: true;
  readonly problem: Problem;
  readonly headers: Record<string, string>;
}

export function refuse(
  name: ProblemName,
  detail: string,
  more: Omit<Problem, 'type' | 'title' | 'status' | 'detail'> = {},
  headers: Record<string, string> = {},
): Refusal {
  const [status, title] = problemTitles[name];
  const problem = { type: `/problems/${name}`, title, status, detail, ...more };
  return { [refusal]: true, problem, headers: { ...alwaysWith(status), ...headers } };
}

/** Refuses a field that its schema lets pass. */
export const wrongField = (field: string, message: string) =>
  refuse('invalid-input', `${field}: ${message}`, { errors: [{ field, message }] });

export const isRefusal = (value: unknown): value is Refusal =>
  typeof value === 'object' && value !== null && refusal in value;

/** Headers that HTTP expects with a status. */
function alwaysWith(status: number): Record<string, string> {
  if (status === 401) return { 'WWW-Authenticate': 'Bearer' };
  return status === 503 ? { 'Retry-After': '1' } : {};
}

export const problemType = 'application/problem+json; charset=utf-8';

export function sendRefusal(response: Response, { problem, headers }: Refusal): void {
  response.status(problem.status).set(headers).type(problemType).send(JSON.stringify(problem));
}

/** Shows a problem as a page to a browser that asks for one. @returns whether it did. */
export type ShowProblem = (request: Request, response: Response, refused: Refusal) => Promise<boolean>;

export const unknownRoute =
  (showProblem: ShowProblem): RequestHandler =>
  async (request, response) => {
    const refused = refuse('not-found', `There is no ${request.method} ${request.path}`);
    if (!(await showProblem(request, response, refused))) sendRefusal(response, refused);
  };

export const allowOnly =
  (methods: string[]): RequestHandler =>
  ({ method }, response) => {
    const detail = `expected ${methods.join(' or ')}, got ${method}`;
    sendRefusal(response, refuse('method-not-allowed', detail, {}, { Allow: methods.join(', ') }));
  };

/** Answers every request to Express whose handling threw. */
export function answerProblems(log: Log, showProblem: ShowProblem = async () => false): ErrorRequestHandler {
  return async (error, request, response, next) => {
    if (response.headersSent) {
      // The request was answered at its deadline, and the connection may already carry another request.
      if (!response.writableEnded) next(error);
      return;
    }
    const refused = reportRefusal(refusalOf(error), request, log, error);
    const isShown = await showProblem(request, response, refused).catch(() => false);
    if (!isShown) sendRefusal(response, refused);
  };
}

interface Reported {
  method: string;
  url: string;
  header(name: string): string | undefined;
}

/**
 * Logs a refusal with a status of 500 or more.
 * @param error the exception that caused it, if there was one.
 * @returns the refusal to send, whose status depends on the proxy in front.
 */
export function reportRefusal(refused: Refusal, request: Reported, log: Log, error?: unknown): Refusal {
  const { problem } = refused;
  if (problem.status < 500) return refused;
  const where = {
    method: request.method,
    path: request.url.split('?')[0],
    requestId: request.header('x-request-id'),
  };
  if (problem.status === 500) log.error({ err: error, ...where }, 'a request failed');
  else log.warn({ error: (error as Error | undefined)?.message ?? problem.detail, ...where }, 'answered 503');
  // nginx tries another instance after a 503, but a busy queue is busy for all: see /purchases in nginx.conf.
  const isFinal = problem.type === '/problems/busy' && request.header('x-busy-status') === '529';
  return isFinal ? { ...refused, problem: { ...problem, status: 529 } } : refused;
}

/** The refusal that answers an exception. */
export function refusalOf(error: unknown): Refusal {
  if (error instanceof Overloaded)
    return refuse('busy', 'Too many requests of this kind wait here. Try again.');
  if (isWriteConflict(error))
    return refuse('busy', 'Others write the same all the time. Nothing was changed. Try again.');
  if (isMongoAway(error) || isRedisAway(error) || isRabbitAway(error))
    return refuse('unavailable', 'A part of the shop is away. Try again.');
  if (error instanceof PaymentFault)
    return error.kind === 'refused'
      ? refuse('not-payable', 'The payment provider refuses this payment')
      : refuse('unavailable', 'The payment provider does not answer. Try again.');
  if (error instanceof ProviderAway)
    return refuse('unavailable', 'The identity provider does not answer. Try again.');
  // Errors of Express, its body parser and its static files.
  const { type = '', status = 500 } = error as { type?: string; status?: number };
  if (type === 'entity.too.large')
    return refuse('body-too-large', 'The body has more bytes than are accepted');
  if (type === 'entity.parse.failed') return invalidJson();
  if (type === 'charset.unsupported' || type === 'encoding.unsupported')
    return refuse('unsupported-media-type', (error as Error).message);
  if (status === 412) return refuse('precondition-failed', 'If-Match or If-Unmodified-Since does not hold');
  if (status === 416) return refuse('no-such-range', 'The Range is not within the file');
  if (status >= 400 && status < 500) return refuse('invalid-input', (error as Error).message);
  return refuse('internal-error', 'It is in our log');
}

export const invalidJson = () => refuse('invalid-input', 'The body is not valid JSON');
