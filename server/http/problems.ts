import type { IncomingMessage } from 'node:http';
import type { ErrorRequestHandler, RequestHandler } from 'express';
import { isMongoAway, isRedisAway, isWriteConflict } from '../../runtime/databases/connections.ts';
import { Overloaded } from '../../runtime/group-commit.ts';
import type { Log } from '../../runtime/observe/log.ts';
import { isRabbitAway } from '../../runtime/rabbit/rabbit.ts';
import type { Problem } from '../../sale/contract.ts';
import { requestIdOf } from './request-id.ts';

export const problemTitles = {
  'invalid-input': [400, 'The request is not as expected'],
  unauthorized: [401, 'Sign in first'],
  forbidden: [403, 'Not allowed'],
  'not-found': [404, 'Not found'],
  'method-not-allowed': [405, 'Method not allowed'],
  'request-timeout': [408, 'The request came too slowly'],
  'sold-out': [409, 'Fewer units are left than were asked for'],
  'not-open': [409, 'The sale is not open yet'],
  paused: [409, 'The sale is paused'],
  ended: [409, 'The sale has ended'],
  'over-limit': [409, 'Over the limit for each buyer'],
  'too-many-webhooks': [409, 'No more webhooks can be added'],
  'email-taken': [409, 'There is an account with this e-mail address'],
  'not-settled': [409, 'The order is still queued'],
  'not-payable': [409, 'The order cannot be paid'],
  'not-cancellable': [409, 'The order cannot be cancelled'],
  'precondition-failed': [412, 'It has changed'],
  'body-too-large': [413, 'The body is too large'],
  'unsupported-media-type': [415, 'The body is not of the expected type'],
  'no-such-range': [416, 'There is no such range'],
  'key-reused': [422, 'The Idempotency-Key was used for another request'],
  'work-required': [428, 'A proof of work is required'],
  'too-many-requests': [429, 'Too many requests'],
  'headers-too-large': [431, 'The headers are too large'],
  'internal-error': [500, 'Something broke on our side'],
  busy: [503, 'Very busy'],
  unavailable: [503, 'Not available right now'],
} as const satisfies Record<string, readonly [number, string]>;

export type ProblemName = keyof typeof problemTitles;

/** Thrown by a handler to answer with RFC 9457 problem details. */
export class HttpProblem extends Error {
  readonly problem: Problem;
  readonly headers: Record<string, string>;

  constructor(
    name: ProblemName,
    detail: string,
    more: Pick<Problem, 'errors' | 'opensAt' | 'left' | 'challenge' | 'difficultyBits'> = {},
    headers: Record<string, string> = {},
  ) {
    // A refusal is an answer, and where it was thrown nobody asks: a stack was a twentieth of a refused press.
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 0;
    super(detail);
    Error.stackTraceLimit = stackTraceLimit;
    const [status, title] = problemTitles[name];
    this.problem = { type: `/problems/${name}`, title, status, detail, ...more };
    this.headers = { ...alwaysWith(status), ...headers };
  }
}

/** What HTTP wants beside a status. */
function alwaysWith(status: number): Record<string, string> {
  if (status === 401) return { 'WWW-Authenticate': 'Bearer' };
  return status === 503 ? { 'Retry-After': '1' } : {};
}

export const unknownRoute: RequestHandler = ({ method, path }) => {
  throw new HttpProblem('not-found', `There is no ${method} ${path}`);
};

export const onlyGet: RequestHandler = ({ method }) => {
  throw new HttpProblem('method-not-allowed', `expected GET, got ${method}`, {}, { Allow: 'GET' });
};

/** The last stop of every request to Express that threw. */
export function answerProblems(log: Log): ErrorRequestHandler {
  return (error, request, response, next) => {
    if (response.headersSent) {
      // Answered already, in time: its connection may carry somebody else's request by now.
      if (!response.writableEnded) next(error);
      return;
    }
    const { problem, headers } = reportProblem(error, request, log);
    response.status(problem.status).set(headers).type(problemType).send(JSON.stringify(problem));
  };
}

export const problemType = 'application/problem+json; charset=utf-8';

/** What is answered to a request whose handling threw; what is our own fault goes to the log. */
export function reportProblem(error: unknown, request: IncomingMessage, log: Log): HttpProblem {
  const problem = problemOf(error);
  const { status } = problem.problem;
  if (status < 500) return problem;
  // nginx tries another instance after a 503, but not when all are busy: see /purchases in nginx.conf.
  if (problem.problem.type === '/problems/busy' && request.headers['x-busy-status'] === '529')
    problem.problem.status = 529;
  const { method, url } = request;
  const where = { method, path: url?.split('?')[0], requestId: requestIdOf(request) };
  if (status === 500) log.error({ err: error, ...where }, 'a request failed');
  else log.warn({ error: (error as Error).message, ...where }, 'answered 503');
  return problem;
}

function problemOf(error: unknown): HttpProblem {
  if (error instanceof HttpProblem) return error;
  if (error instanceof Overloaded)
    return new HttpProblem('busy', 'Too many requests of this kind wait here. Try again.');
  if (isWriteConflict(error))
    return new HttpProblem('busy', 'Others write the same all the time. Nothing was changed. Try again.');
  if (isMongoAway(error) || isRedisAway(error) || isRabbitAway(error))
    return new HttpProblem('unavailable', 'A part of the shop is away. Try again.');
  const { type = '', status = 500 } = error as { type?: string; status?: number };
  if (type === 'entity.too.large') {
    return new HttpProblem('body-too-large', 'The body has more bytes than are accepted');
  }
  if (type === 'entity.parse.failed') return new HttpProblem('invalid-input', 'The body is not valid JSON');
  if (type === 'charset.unsupported' || type === 'encoding.unsupported') {
    return new HttpProblem('unsupported-media-type', (error as Error).message);
  }
  if (status === 412)
    return new HttpProblem('precondition-failed', 'If-Match or If-Unmodified-Since does not hold');
  if (status === 416) return new HttpProblem('no-such-range', 'The Range is not within the file');
  if (status >= 400 && status < 500) return new HttpProblem('invalid-input', (error as Error).message);
  return new HttpProblem('internal-error', 'It is in our log');
}
