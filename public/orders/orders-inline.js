/**
 * An inline script of the head of the orders' pages: it asks for what the page's own script, which is still on its way, asks
 * first. Only a script can, because the token is in this browser's storage and not in a cookie that the server reads.
 */

import { readStored, SESSION } from '../account/storage.js';
import { begin } from '../shared/request.js';

/** @returns {string | undefined} */
function storedToken() {
  try {
    return JSON.parse(readStored(SESSION) ?? '{}').token;
  } catch {
    // A session that cannot be read is none.
    return undefined;
  }
}

const token = storedToken();
if (token) {
  // The page of an order has the order's own path.
  const { pathname } = location;
  begin(pathname, token);
  if (pathname === '/orders') begin('/sales?order=for-buyers');
  else begin(`${pathname}/payments`, token);
}
