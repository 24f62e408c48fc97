/** The roles of staff, and what each may do. */

import { currentSession } from '../../account/session.js';

const ranked = /** @type {const} */ (['viewer', 'desk', 'admin']);

export const roleTexts = {
  viewer: 'Viewer: reads the control room',
  desk: 'Desk: also cares for orders',
  admin: 'Admin: does everything',
};

/** Whether the signed-in user has this role or one above it. @param {typeof ranked[number]} needed */
export function isAtLeast(needed) {
  const role = currentSession()?.user.role;
  return ranked.indexOf(/** @type {any} */ (role)) >= ranked.indexOf(needed);
}

/** The options of a select. @returns {[value: string, label: string][]} */
export const roleOptions = () => Object.entries(roleTexts);
