/** Runs in the page's head, so that what depends on the role is right when it is first painted. */

import { openedLink } from './link.js';
import { showRole } from './role.js';

showRole();
// The form of a mail's link stands above the panels, which appear together with it.
document.documentElement.toggleAttribute('data-link', openedLink() !== null);
