/** The HTTP client of the storefront. Each call returns the body or throws `Problem` (an error answer) or `Unreachable`. */

/** @import { Order, OrderPage, Problem as ProblemDetails, PurchaseLine, PurchaseReceipt, Puzzle, SalePage, SaleSnapshot, Session } from '../../sale/contract.ts' */
/** @import { Options } from './request.js' */

import { solve } from '../sale/puzzle.js';
import { syncServerTime } from './clock.js';
import { send, takeBegun } from './request.js';

/** A puzzle, a captcha, and each once more, because the first one was too old. */
const MAX_DEMANDS = 4;

/** There was no answer: offline, a reset connection, or a timeout. */
export class Unreachable extends Error {}

/** An RFC 9457 error answer. */
export class Problem extends Error {
  /** @param {Response} response @param {Partial<ProblemDetails>} details */
  constructor(response, details) {
    super(details.detail ?? details.title ?? response.statusText);
    this.status = response.status;
    /** The last part of the stable type, e.g. `sold-out`. */
    this.name = (details.type ?? '').replace('/problems/', '');
    this.details = details;
    this.retryAfterMs = retryAfterMs(response);
  }

  /** Whether the same request may succeed later. */
  get isPassing() {
    return this.status === 429 || this.status >= 500;
  }
}

/** @param {Response} response */
function retryAfterMs(response) {
  const seconds = Number(response.headers.get('Retry-After'));
  return Number.isFinite(seconds) ? seconds * 1_000 : 0;
}

/** @param {string} method @param {string} path @param {Options} [options] */
export async function call(method, path, options = {}) {
  let headers = options.headers ?? {};
  for (let demands = 0; ; demands++) {
    try {
      return await callOnce(method, path, { ...options, headers });
    } catch (error) {
      if (!(error instanceof Problem) || demands === MAX_DEMANDS) throw error;
      const shown = await meet(error, path, headers);
      if (!shown) throw error;
      headers = { ...headers, ...shown };
    }
  }
}

/**
 * Does what the server demands before a request.
 * @param {Problem} problem @param {string} path @param {Record<string, string>} sent
 * @returns {Promise<Record<string, string> | null>} headers; null when it demands nothing, or the person cannot or does not want to
 */
async function meet(problem, path, sent) {
  const { name, details } = problem;
  const { challenge = '', difficultyBits = 0, captcha } = details;
  if (name === 'work-required' || name === 'proof-of-work-required')
    return { 'Proof-Of-Work': await solve(challenge, difficultyBits) };
  if (name !== 'captcha-required' || !captcha) return null;
  if (sent['Captcha-Token'] === 'unavailable') {
    // The provider answers the server, so what keeps its form from this page would keep it away again.
    problem.name = 'captcha-unavailable';
    return null;
  }
  const { solveCaptcha } = await import('./captcha.js');
  const about = /^\/sales\/([^/]+)/.exec(path)?.[1] ?? 'sign-up';
  const token = await solveCaptcha(captcha, about);
  return token === null ? null : { 'Captcha-Token': token };
}

/** @param {string} method @param {string} path @param {Options} options */
async function callOnce(method, path, options) {
  const begun = method === 'GET' ? takeBegun(path, options.token) : undefined;
  try {
    const { response, askedAt, answeredAt } = await (begun ?? send(method, path, options));
    if (!response.ok) throw new Problem(response, await response.json().catch(() => ({})));
    const answer = response.headers.has('Content-Type') ? await response.json() : null;
    return { body: answer, response, askedAt, answeredAt };
  } catch (error) {
    if (error instanceof Problem) throw error;
    throw new Unreachable(`${method} ${path}`, { cause: error });
  }
}

/** For how long a CDN may have held the answer, which says so in whole seconds. @param {Response} response */
function heldMs(response) {
  const age = response.headers.get('Age');
  return age === null ? 0 : (Number(age) + 1) * 1_000;
}

/**
 * A page of sales in the order that buyers need.
 * @param {string | null} [cursor] the `nextCursor` of the previous page
 * @returns {Promise<SalePage>}
 */
export async function fetchSales(cursor = null) {
  const query = cursor === null ? '' : `&cursor=${encodeURIComponent(cursor)}`;
  const { body, response, askedAt, answeredAt } = await call('GET', `/sales?order=for-buyers${query}`).catch(
    (error) => {
      // A server of the previous version knows one order only, whose cursor is of no use here.
      if (error instanceof Problem && error.status === 400 && cursor === null) return call('GET', '/sales');
      throw error;
    },
  );
  if (body.sales[0]) syncServerTime(body.sales[0].serverTime, askedAt - heldMs(response), answeredAt);
  return body;
}

/** @param {string} id @param {string} [token] of staff, who may read a draft @returns {Promise<SaleSnapshot>} */
export async function fetchSale(id, token) {
  const path = `/sales/${encodeURIComponent(id)}`;
  const { body, response, askedAt, answeredAt } = await call('GET', path, { token });
  syncServerTime(body.serverTime, askedAt - heldMs(response), answeredAt);
  // Shows engineers and tests which server answered.
  document.documentElement.dataset.instance = response.headers.get('X-Instance') ?? '';
  return body;
}

/**
 * @param {string} token
 * @param {{ saleId: string, quantity: number, lines?: PurchaseLine[], pass?: string, code?: string, idempotencyKey: string }} purchase
 * @param {Record<string, string>} [shown] headers with what the sale demands
 * @returns {Promise<{ receipt: PurchaseReceipt, retryAfterMs: number }>}
 */
export async function sendPurchase(
  token,
  { saleId, quantity, lines, pass, code, idempotencyKey },
  shown = {},
) {
  const { body, response } = await call('POST', `/sales/${encodeURIComponent(saleId)}/purchases`, {
    token,
    body: { ...(lines ? { lines } : { quantity }), ...(code && { code }) },
    headers: { ...shown, 'Idempotency-Key': idempotencyKey, ...(pass && { 'Room-Pass': pass }) },
  });
  return { receipt: body, retryAfterMs: retryAfterMs(response) };
}

/** @param {string} token @param {string} saleId @returns {Promise<Puzzle>} */
export const fetchPuzzle = async (token, saleId) =>
  (await call('GET', `/sales/${encodeURIComponent(saleId)}/puzzle`, { token })).body;

/** @param {string} token @param {string} id @returns {Promise<Order>} */
export const fetchOrder = async (token, id) =>
  (await call('GET', `/orders/${encodeURIComponent(id)}`, { token })).body;

/** @param {string} token @param {string | null} [cursor] @returns {Promise<OrderPage>} */
export const fetchOrders = async (token, cursor) =>
  (
    await call('GET', cursor ? `/orders?limit=100&cursor=${encodeURIComponent(cursor)}` : '/orders', {
      token,
    })
  ).body;

/** @param {string} token @param {string} id @returns {Promise<Order>} */
export const cancelOrder = async (token, id) =>
  (await call('DELETE', `/orders/${encodeURIComponent(id)}`, { token })).body;

/** @param {{ email: string, password: string, name: string, language: string }} account @returns {Promise<Session>} */
export const createAccount = async (account) => (await call('POST', '/users', { body: account })).body;

/** @param {{ email: string, password: string }} credentials @returns {Promise<Session>} */
export const createSession = async (credentials) =>
  (await call('POST', '/sessions', { body: credentials })).body;

/** Renews the token of the session whose cookie this browser has. @returns {Promise<Session>} */
export const renewSession = async () => (await call('POST', '/sessions/renewal', { body: {} })).body;

/** Ends the session of this browser. */
export const deleteSession = () => call('DELETE', '/sessions/current');

/** Ends the buyer's sessions on all devices. @param {string} token */
export const deleteSessions = (token) => call('DELETE', '/sessions', { token });

/** Creates a visitor's token, which allows watching but not buying. @returns {Promise<{ token: string }>} */
export const createVisitor = async () => (await call('POST', '/visitors')).body;
