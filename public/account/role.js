import { readStored, SESSION } from './storage.js';

/** Who is signed in in this browser. @returns {{ role?: string, email?: string, emailVerified?: boolean }} empty when nobody is */
export function storedUser() {
  try {
    return JSON.parse(readStored(SESSION) ?? '{}').user ?? {};
  } catch {
    // A session that cannot be read is none.
    return {};
  }
}

/** Tells the styles, by attributes of the page, who is signed in: `data-role`, and `data-verified` once the address is. */
export function showRole() {
  const { documentElement: root } = document;
  const { role, emailVerified } = storedUser();
  if (role) root.dataset.role = role;
  else delete root.dataset.role;
  root.toggleAttribute('data-verified', emailVerified === true);
}
