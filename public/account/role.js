import { readStored, SESSION } from './storage.js';

/** @typedef {{ role?: string, email?: string, emailVerified?: boolean }} SignedIn empty when nobody is */

/** Who is signed in in this browser. @returns {SignedIn} */
export function storedUser() {
  try {
    return JSON.parse(readStored(SESSION) ?? '{}').user ?? {};
  } catch {
    // A session that cannot be read is none.
    return {};
  }
}

/**
 * Tells the styles, by attributes of the page, who is signed in: `data-role`, `data-verified` once the address is, and
 * `data-no-address` for an account of the identity provider that has none.
 * @param {SignedIn} [user]
 */
export function showRole({ role, email, emailVerified } = storedUser()) {
  const { documentElement: root } = document;
  if (role) root.dataset.role = role;
  else delete root.dataset.role;
  root.toggleAttribute('data-verified', emailVerified === true);
  root.toggleAttribute('data-no-address', email === '');
}
