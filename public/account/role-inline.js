/** An inline script of the page's head: it runs before the first paint, so that what depends on the role is right from then on. */

import { openedLink } from './link.js';
import { showRole } from './role.js';

showRole();
// The form of a mail's link stands above the panels, which appear together with it.
document.documentElement.toggleAttribute('data-link', openedLink() !== null);
