/** Runs in the page's head, so that what depends on the role is right when it is first painted. */

import { showRole } from './role.js';

showRole();
