/** A page that says what is missing or away. Only its header is live. */

import { mountShell } from './shell.js';

mountShell();
