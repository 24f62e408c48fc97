/** The session of a signed-in buyer or of a visitor, who may only watch. All tabs share it. */

/** @import { Session } from '../../sale/contract.ts' */

import { createVisitor, deleteSession, deleteSessions, Problem, renewSession } from '../shared/api.js';
import { serverNow } from '../shared/clock.js';
import { dropStored, isStorageBlocked, readStored, SESSION, store } from './storage.js';

const VISITOR = 'stampede.visitor';

/** Nobody is signed in, or another buyer than the call requires. */
export class NotSignedIn extends Error {}

/** @typedef {(change: 'signed-in' | 'signed-out' | 'expired') => void} SessionListener */
/** @type {Set<SessionListener>} */
const listeners = new Set();

/** @returns {Session | null} */
export function currentSession() {
  try {
    return JSON.parse(readStored(SESSION) ?? 'null');
  } catch {
    return null;
  }
}

/** @param {Session} session @returns {boolean} whether it outlasts this page */
export function beginSession(session) {
  const isKept = store(SESSION, JSON.stringify(session));
  for (const listener of listeners) listener('signed-in');
  return isKept;
}

/** @param {'signed-out' | 'expired'} why */
export function endSession(why) {
  dropStored(SESSION);
  for (const listener of listeners) listener(why);
}

/** Calls the listener after a sign-in or sign-out, in this tab or another. @param {SessionListener} listener */
export function onSessionChange(listener) {
  listeners.add(listener);
}

addEventListener('storage', (event) => {
  if (event.key !== SESSION && event.key !== null) return;
  // Another tab renewed the token of the same buyer, which is no change of session.
  if (event.key === SESSION && userIdIn(event.oldValue) === userIdIn(event.newValue)) return;
  for (const listener of listeners) listener(currentSession() ? 'signed-in' : 'signed-out');
});

/** The token for the socket: the buyer's, or else a visitor's, which is created when there is none. */
export async function socketToken() {
  const session = currentSession();
  if (session) return isExpiring(session.token) ? (await renew(session)).token : session.token;
  const held = readStored(VISITOR);
  if (held) return held;
  const { token } = await createVisitor();
  store(VISITOR, token);
  return token;
}

/** Removes an expired visitor token, so that the next `socketToken` creates a new one. */
export const dropVisitorToken = () => dropStored(VISITOR);

/** Ends the session in this browser and on the server. */
export async function signOut() {
  endSession('signed-out');
  // If the server does not answer, the session expires by itself, and this browser has no token of it any more.
  await deleteSession().catch(() => {});
}

const SIGNED_IN = '#signed-in';

/**
 * Takes over the session of the cookie: after a sign-in at the identity provider, from which the browser comes back to this
 * page, and where the browser blocks storage, so that the page before could not leave its session to this one.
 */
export async function adoptSession() {
  const isBack = location.hash === SIGNED_IN;
  if (isBack) history.replaceState(null, '', location.pathname + location.search);
  if (isBack || isStorageBlocked()) await renewSession().then(beginSession, () => {});
}

/** Ends the buyer's sessions on all devices. */
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
 * Renews the session's token with the refresh cookie. A cookie is valid for one renewal, so only one tab sends the request
 * and the others read its result.
 * @param {Session} session the session whose token is no longer valid
 * @returns {Promise<Session>}
 */
export function renew(session) {
  renewing ??= withTabLock(async () => {
    const current = currentSession();
    if (current && current.token !== session.token) return current;
    try {
      const renewed = await renewSession();
      // The cookie belongs to another buyer, who signed in in another tab.
      if (renewed.user.id !== session.user.id) beginSession(renewed);
      else store(SESSION, JSON.stringify(renewed));
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
 * Runs the work in one tab at a time. Web Locks are missing on plain http; there, two tabs that renew at the same moment
 * have to sign in again.
 * @template Result @param {() => Promise<Result>} work @returns {Promise<Result>}
 */
function withTabLock(work) {
  return navigator.locks ? navigator.locks.request(SESSION, work) : work();
}

/**
 * Runs a request as the signed-in buyer. A token that is no longer valid is renewed; if that fails, the session has ended
 * and the page asks the buyer to sign in.
 * @template Result
 * @param {(token: string) => Promise<Result>} request
 * @param {string} [buyerId] the only buyer that the request may be sent for
 * @returns {Promise<Result>}
 */
export async function asBuyer(request, buyerId) {
  let session = currentSession();
  for (let isRenewed = false; session; isRenewed = true) {
    if (buyerId && session.user.id !== buyerId) break;
    try {
      return await request(session.token);
    } catch (error) {
      // The address may have been verified since the token was issued, for instance on another device.
      const isUnverified = error instanceof Problem && error.name === 'email-not-verified';
      if (!isRefused(error) && !isUnverified) throw error;
      if (isRenewed && isUnverified) throw error;
      if (isRenewed) break;
      session = await renew(session);
    }
  }
  throw new NotSignedIn();
}
