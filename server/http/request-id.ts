import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';

/** Of an answer. */
export const requestIdHeader = 'X-Request-Id';

/** What may go into a log and back into a header. nginx's own are 32 hexadecimal digits. */
const valid = /^[\w-]{8,64}$/;

/**
 * Gives a request the id that its lines in the log carry: the one that came with it, or a new one. It stands in the
 * request's headers from then on, and goes with the answer, for whoever reports a trouble.
 */
export function nameRequest({ headers }: IncomingMessage): void {
  const given = headers['x-request-id'];
  if (typeof given !== 'string' || !valid.test(given)) headers['x-request-id'] = randomUUID();
}

/** @returns the id that `nameRequest` gave it. */
export const requestIdOf = ({ headers }: IncomingMessage) => headers['x-request-id'] as string;
