/** Runs behind the address in the page, so that a long one has its lines when it is first painted. */

import { storedUser } from './role.js';

const line = document.getElementById('address');
const { email } = storedUser();
if (line && email) line.textContent = email;
