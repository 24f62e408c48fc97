/** Who is here: a signed-in buyer, or a visitor who may only watch. Shared by all tabs through localStorage. */

/** @import { Session } from '../sale/contract.ts' */

import { createVisitor, Problem } from './api.js';

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
  for (const listener of listeners) listener(currentSession() ? 'signed-in' : 'signed-out');
});

/** The token a socket presents: the buyer's, or else a visitor's, made when there is none. */
export async function watchToken() {
  const held = currentSession()?.token ?? localStorage.getItem(VISITOR);
  if (held) return held;
  const { token } = await createVisitor();
  localStorage.setItem(VISITOR, token);
  return token;
}

/** A visitor's token ran out: the next `watchToken` makes a new one. */
export const dropVisitorToken = () => localStorage.removeItem(VISITOR);

/**
 * Runs a call as the signed-in buyer. A token that is no longer good ends the session, so the page asks again.
 * @template Result
 * @param {(token: string) => Promise<Result>} request
 * @param {string} [buyerId] when only this buyer will do
 * @returns {Promise<Result>}
 */
export async function asBuyer(request, buyerId) {
  const session = currentSession();
  if (!session || (buyerId && session.user.id !== buyerId)) throw new NotSignedIn();
  try {
    return await request(session.token);
  } catch (error) {
    if (!(error instanceof Problem && error.status === 401)) throw error;
    // Another tab may have signed in anew while this answer was on its way.
    if (currentSession()?.token === session.token) endSession('expired');
    throw new NotSignedIn();
  }
}
