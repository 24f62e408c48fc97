import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';

/** Header of every answer. */
export const requestIdHeader = 'X-Request-Id';

/** Ids that are safe in a log and a header; nginx creates ids of 32 hexadecimal digits. */
const valid = /^[\w-]{8,64}$/;

/**
 * Gives a request its id: the valid one it came with, or a new one. The id is kept in the request's headers, and is written to
 * the log and the answer, so that a reported problem can be found in the log.
 */
export function ensureRequestId({ headers }: IncomingMessage): void {
  const given = headers['x-request-id'];
  if (typeof given !== 'string' || !valid.test(given)) headers['x-request-id'] = randomUUID();
}

/** @returns the id that `ensureRequestId` set. */
export const requestIdOf = ({ headers }: IncomingMessage) => headers['x-request-id'] as string;
