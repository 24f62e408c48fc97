/** Requests of the control room: JSON or a file up, JSON or a file down, always as the signed-in admin. */

import { asBuyer, NotSignedIn } from '../account/session.js';
import { newIdempotencyKey } from '../sale/pending.js';
import { Problem, Unreachable } from '../shared/api.js';

const ANSWER_DEADLINE_MS = 30_000;

/**
 * @param {string} method @param {string} path
 * @param {{ body?: unknown, file?: Blob, key?: string, deadlineMs?: number }} [content]
 * @returns {Promise<Response>}
 */
export function send(method, path, { body, file, key, deadlineMs = ANSWER_DEADLINE_MS } = {}) {
  return asBuyer(async (token) => {
    const type = file?.type ?? (body === undefined ? undefined : 'application/json');
    const sent = file ?? (body === undefined ? undefined : JSON.stringify(body));
    try {
      const response = await fetch(`/api${path}`, {
        method,
        cache: 'no-store',
        signal: AbortSignal.timeout(deadlineMs),
        headers: {
          Authorization: `Bearer ${token}`,
          ...(type ? { 'Content-Type': type } : {}),
          ...(key ? { 'Idempotency-Key': key } : {}),
        },
        ...(sent === undefined ? {} : { body: sent }),
      });
      if (!response.ok) throw new Problem(response, await response.json().catch(() => ({})));
      return response;
    } catch (error) {
      if (error instanceof Problem) throw error;
      throw new Unreachable(`${method} ${path}`, { cause: error });
    }
  });
}

/** @param {string} method @param {string} path @param {{ body?: unknown, file?: Blob, key?: string }} [content] */
export async function ask(method, path, content) {
  const response = await send(method, path, content);
  return response.status === 204 ? null : response.json();
}

const TRIES = 3;
const RETRY_AFTER_MS = 1_000;

/**
 * Asks for a change, and again when it is not known whether it was made: the key is the same, so it is made once.
 * @param {string} method @param {string} path @param {object} body
 */
export async function askOnce(method, path, body) {
  const key = newIdempotencyKey();
  for (let tries = 1; ; tries++) {
    try {
      return await ask(method, path, { body, key });
    } catch (error) {
      const isPassing = error instanceof Unreachable || (error instanceof Problem && error.isPassing);
      if (!isPassing || tries === TRIES) throw error;
      await new Promise((resolve) => setTimeout(resolve, RETRY_AFTER_MS));
    }
  }
}

/** What went wrong, for the person who asked. @param {unknown} error */
export function inWords(error) {
  if (error instanceof NotSignedIn) return 'Sign in again';
  if (error instanceof Unreachable) return 'The shop does not answer';
  return error instanceof Error ? error.message : String(error);
}

/** Hands a file to the browser. @param {Blob} blob @param {string} name */
export function download(blob, name) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
