/** The roles of staff, and what each may do. */

import { currentSession } from '../../account/session.js';
import { texts } from '../texts.js';

const ranked = /** @type {const} */ (['viewer', 'desk', 'admin']);

/** Whether the signed-in user has this role or one above it. @param {typeof ranked[number]} needed */
export function isAtLeast(needed) {
  const role = currentSession()?.user.role;
  return ranked.indexOf(/** @type {any} */ (role)) >= ranked.indexOf(needed);
}

/** @param {string} role */
export const roleName = (role) =>
  Object.hasOwn(texts.roleNames, role) ? texts.roleNames[/** @type {typeof ranked[number]} */ (role)] : role;

/** The options of a select. @returns {[value: string, label: string][]} */
export const roleOptions = () => Object.entries(texts.roles);
