/** One request to the API. An inline script of a page begins the first ones, which the page's own script takes over. */

const ANSWER_DEADLINE_MS = 10_000;

/** @typedef {{ response: Response, askedAt: number, answeredAt: number }} Answer */
/** @typedef {{ token?: string | undefined, body?: unknown, headers?: Record<string, string> }} Options */

/** @param {string} method @param {string} path @param {Options} [options] @returns {Promise<Answer>} */
export async function send(method, path, { token, body, headers = {} } = {}) {
  const askedAt = Date.now();
  const response = await fetch(`/api${path}`, {
    method,
    cache: 'no-store',
    signal: AbortSignal.timeout(ANSWER_DEADLINE_MS),
    headers: {
      Accept: 'application/json',
      ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
      ...(token ? { Authorization: `Bearer ${token}` } : {}),
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { response, askedAt, answeredAt: Date.now() };
}

/**
 * The two scripts share no module, so what was begun is kept with the window.
 * @type {typeof globalThis & { begun?: Map<string, Promise<Answer>> }}
 */
const page = globalThis;

/** @param {string} path @param {string} [token] */
const keyOf = (path, token = '') => `${token} ${path}`;

/** Begins a GET, whose answer or failure is for the first that takes it. @param {string} path @param {string} [token] */
export function begin(path, token) {
  page.begun ??= new Map();
  const answer = send('GET', path, { token });
  answer.catch(() => {});
  page.begun.set(keyOf(path, token), answer);
}

/** Takes over a GET that was begun with the same token. @param {string} path @param {string} [token] */
export function takeBegun(path, token) {
  const key = keyOf(path, token);
  const answer = page.begun?.get(key);
  page.begun?.delete(key);
  return answer;
}
