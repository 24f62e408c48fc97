import { readStored, SESSION } from './storage.js';

/** Tells the styles, by attributes of the page, who is signed in: `data-role`, and `data-verified` once the address is. */
export function showRole() {
  const { documentElement: root } = document;
  /** @type {{ role?: string, emailVerified?: boolean }} */
  let user = {};
  try {
    user = JSON.parse(readStored(SESSION) ?? '{}').user ?? {};
  } catch {
    // A session that cannot be read is none.
  }
  if (user.role) root.dataset.role = user.role;
  else delete root.dataset.role;
  root.toggleAttribute('data-verified', user.emailVerified === true);
}
