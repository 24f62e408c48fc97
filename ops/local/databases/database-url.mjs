/** The database of a shop whose MONGO_URL names none. */
const DATABASE = 'stampede';

/**
 * A URL that names no database gets this one. Not `URL`: it may have several hosts.
 * @param {string} url
 * @param {string} database
 */
export function withDatabase(url, database = DATABASE) {
  return url.replace(/^(mongodb(?:\+srv)?:\/\/[^/?]+)\/?(?=\?|$)/, `$1/${database}`);
}

/** Where it is, without the password. @param {string} url */
export function hostsOf(url) {
  return url.replace(/^[\w+]+:\/\/([^/?]*@)?/, '').replace(/[/?].*/, '');
}
