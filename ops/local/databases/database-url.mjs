/** The default database, when MONGO_URL names none. */
const DATABASE = 'stampede';

/**
 * Adds the default database to a URL without one. The class `URL` cannot parse several hosts.
 * @param {string} url
 * @param {string} database
 */
export function withDatabase(url, database = DATABASE) {
  return url.replace(/^(mongodb(?:\+srv)?:\/\/[^/?]+)\/?(?=\?|$)/, `$1/${database}`);
}

/** The hosts of a URL, without user and password. @param {string} url */
export function hostsOf(url) {
  return url.replace(/^[\w+]+:\/\/([^/?]*@)?/, '').replace(/[/?].*/, '');
}
