import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';

/** What may go into a log and back into a header. nginx's own are 32 hexadecimal digits. */
const valid = /^[\w-]{8,64}$/;

/**
 * Gives a request the id that its lines in the log carry: the one that came with it, or a new one. It is in the answer
 * as `X-Request-Id`, for whoever reports a trouble.
 */
export function nameRequest({ headers }: IncomingMessage, response: ServerResponse): void {
  const given = headers['x-request-id'];
  const id = typeof given === 'string' && valid.test(given) ? given : randomUUID();
  headers['x-request-id'] = id;
  response.setHeader('X-Request-Id', id);
}
