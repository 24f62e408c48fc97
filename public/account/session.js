/** Who is here: a signed-in buyer, or a visitor who may only watch. Shared by all tabs through localStorage. */

/** @import { Session } from '../../sale/contract.ts' */

import { createVisitor, deleteSession, deleteSessions, Problem, renewSession } from '../shared/api.js';
import { serverNow } from '../shared/clock.js';

const SESSION = 'stampede.session';
const VISITOR = 'stampede.visitor';

/** Nobody is signed in, or not the buyer that the call was for. */
export class NotSignedIn extends Error {}

/** @typedef {(change: 'signed-in' | 'signed-out' | 'expired') => void} SessionListener */
/** @type {Set<SessionListener>} */
const listeners = new Set();

/** @returns {Session | null} */
export function currentSession() {
  try {
    return JSON.parse(localStorage.getItem(SESSION) ?? 'null');
  } catch {
    return null;
  }
}

/** @param {Session} session */
export function beginSession(session) {
  localStorage.setItem(SESSION, JSON.stringify(session));
  for (const listener of listeners) listener('signed-in');
}

/** @param {'signed-out' | 'expired'} why */
export function endSession(why) {
  localStorage.removeItem(SESSION);
  for (const listener of listeners) listener(why);
}

/** Tells of a sign-in or sign-out, in this tab or another. @param {SessionListener} listener */
export function onSessionChange(listener) {
  listeners.add(listener);
}

addEventListener('storage', (event) => {
  if (event.key !== SESSION && event.key !== null) return;
  // A token renewed by another tab is no news: the same buyer is here.
  if (event.key === SESSION && userIdIn(event.oldValue) === userIdIn(event.newValue)) return;
  for (const listener of listeners) listener(currentSession() ? 'signed-in' : 'signed-out');
});

/** The token a socket presents: the buyer's, or else a visitor's, made when there is none. */
export async function watchToken() {
  const session = currentSession();
  if (session) return isExpiring(session.token) ? (await renew(session)).token : session.token;
  const held = localStorage.getItem(VISITOR);
  if (held) return held;
  const { token } = await createVisitor();
  localStorage.setItem(VISITOR, token);
  return token;
}

/** A visitor's token ran out: the next `watchToken` makes a new one. */
export const dropVisitorToken = () => localStorage.removeItem(VISITOR);

/** Ends the session here and at the shop. */
export async function signOut() {
  endSession('signed-out');
  // Without an answer the session runs out by itself, and nobody here has its token any more.
  await deleteSession().catch(() => {});
}

/** The same on every device. */
export async function signOutEverywhere() {
  await asBuyer((token) => deleteSessions(token));
  endSession('signed-out');
}

/** @param {string | null} stored */
function userIdIn(stored) {
  try {
    return JSON.parse(stored ?? 'null')?.user.id;
  } catch {
    return undefined;
  }
}

/** @param {unknown} error */
const isRefused = (error) => error instanceof Problem && error.status === 401;

const EXPIRES_SOON_MS = 30_000;

/** @param {string} token */
function isExpiring(token) {
  try {
    const [, payload = ''] = token.split('.');
    const { exp } = JSON.parse(atob(payload.replace(/-/g, '+').replace(/_/g, '/')));
    return exp * 1_000 < serverNow() + EXPIRES_SOON_MS;
  } catch {
    return true;
  }
}

/** @type {Promise<Session> | null} */
let renewing = null;

/**
 * A new token for this session, by the cookie that the shop gave at the sign-in. A cookie is good for one renewal, so
 * of all tabs only one asks and the others take what it got.
 * @param {Session} session the one whose token is no longer good
 * @returns {Promise<Session>}
 */
export function renew(session) {
  renewing ??= inTurn(async () => {
    const current = currentSession();
    if (current && current.token !== session.token) return current;
    try {
      const renewed = await renewSession();
      // Somebody else's cookie: another tab signed in anew.
      if (renewed.user.id !== session.user.id) beginSession(renewed);
      else localStorage.setItem(SESSION, JSON.stringify(renewed));
      return renewed;
    } catch (error) {
      if (!isRefused(error)) throw error;
      if (currentSession()?.token === session.token) endSession('expired');
      throw new NotSignedIn();
    }
  }).finally(() => {
    renewing = null;
  });
  return renewing;
}

/**
 * One tab at a time. On plain http from another machine there are no locks; two tabs that renew in the same moment
 * would then have to sign in again.
 * @template Result @param {() => Promise<Result>} work @returns {Promise<Result>}
 */
function inTurn(work) {
  return navigator.locks ? navigator.locks.request(SESSION, work) : work();
}

/**
 * Runs a call as the signed-in buyer. A token that is no longer good is renewed; when that cannot be, the session has
 * ended and the page asks to sign in.
 * @template Result
 * @param {(token: string) => Promise<Result>} request
 * @param {string} [buyerId] when only this buyer will do
 * @returns {Promise<Result>}
 */
export async function asBuyer(request, buyerId) {
  let session = currentSession();
  for (let isRenewed = false; session; isRenewed = true) {
    if (buyerId && session.user.id !== buyerId) break;
    try {
      return await request(session.token);
    } catch (error) {
      if (!isRefused(error)) throw error;
      if (isRenewed) break;
      session = await renew(session);
    }
  }
  throw new NotSignedIn();
}
