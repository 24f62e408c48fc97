/** The HTTP client of the control room: sends JSON or a file as the signed-in admin, and receives JSON or a file. */

import { asBuyer, NotSignedIn } from '../account/session.js';
import { newIdempotencyKey } from '../sale/pending.js';
import { Problem, Unreachable } from '../shared/api.js';
import { InputError } from '../shared/money.js';
import { problemText } from './problem-text.js';
import { texts } from './texts.js';

const ANSWER_DEADLINE_MS = 30_000;

/**
 * @param {string} method @param {string} path
 * @param {{ body?: unknown, key?: string, headers?: Record<string, string>, deadlineMs?: number }} [content]
 * @returns {Promise<Response>}
 */
export function send(method, path, { body, key, headers = {}, deadlineMs = ANSWER_DEADLINE_MS } = {}) {
  return asBuyer(async (token) => {
    const sent = body === undefined ? undefined : JSON.stringify(body);
    try {
      const response = await fetch(`/api${path}`, {
        method,
        cache: 'no-store',
        signal: AbortSignal.timeout(deadlineMs),
        headers: {
          Authorization: `Bearer ${token}`,
          ...(sent === undefined ? {} : { 'Content-Type': 'application/json' }),
          ...(key ? { 'Idempotency-Key': key } : {}),
          ...headers,
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

/** Long enough for 8 MB on a slow line. */
const UPLOAD_DEADLINE_MS = 120_000;

/**
 * Sends a file. It uses XMLHttpRequest, because `fetch` does not tell how much of a body was sent.
 * @param {string} path @param {Blob} file @param {(share: number) => void} onProgress from 0 to 1
 */
export function upload(path, file, onProgress) {
  return asBuyer(
    (token) =>
      new Promise((resolve, reject) => {
        const sending = new XMLHttpRequest();
        sending.open('POST', `/api${path}`);
        sending.timeout = UPLOAD_DEADLINE_MS;
        sending.setRequestHeader('Authorization', `Bearer ${token}`);
        sending.setRequestHeader('Content-Type', file.type);
        sending.upload.addEventListener('progress', ({ loaded, total }) => onProgress(loaded / total));
        sending.addEventListener('load', () => {
          const { status, statusText, responseText } = sending;
          const body = parsed(responseText);
          if (status >= 200 && status < 300) resolve(body);
          else reject(new Problem(new Response(null, { status, statusText }), body));
        });
        for (const fault of ['error', 'timeout', 'abort'])
          sending.addEventListener(fault, () => reject(new Unreachable(`POST ${path}`)));
        sending.send(file);
      }),
  );
}

/** @param {string} text */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}

/** @param {string} method @param {string} path @param {Parameters<typeof send>[2]} [content] */
export async function request(method, path, content) {
  const response = await send(method, path, content);
  return response.status === 204 ? null : response.json();
}

const MAX_ATTEMPTS = 3;
const RETRY_AFTER_MS = 1_000;

/**
 * Sends a change with an Idempotency-Key, and retries when there was no answer; the key makes sure that it is made once.
 * @param {string} method @param {string} path @param {object} [body]
 */
export async function requestIdempotently(method, path, body) {
  const key = newIdempotencyKey();
  for (let attempts = 1; ; attempts++) {
    try {
      return await request(method, path, { body, key });
    } catch (error) {
      const isPassing = error instanceof Unreachable || (error instanceof Problem && error.isPassing);
      if (!isPassing || attempts === MAX_ATTEMPTS) throw error;
      await new Promise((resolve) => setTimeout(resolve, RETRY_AFTER_MS));
    }
  }
}

/** The error as a text for the admin. @param {unknown} error */
export function errorText(error) {
  if (error instanceof NotSignedIn) return texts.signInAgain;
  if (error instanceof Unreachable) return texts.noAnswer;
  if (error instanceof Problem) return problemText(error);
  if (error instanceof InputError) return texts.inputs[error.fault](...error.parts);
  return error instanceof Error ? error.message : String(error);
}

/** Saves a file through the browser's download. @param {Blob} blob @param {string} name */
export function download(blob, name) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
