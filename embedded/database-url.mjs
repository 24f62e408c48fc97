const DATABASE = 'stampede';

/** A URL that names no database means ours. Not `URL`: a replica set's has several hosts. @param {string} url */
export function withDatabase(url) {
  return url.replace(/^(mongodb(?:\+srv)?:\/\/[^/?]+)\/?(?=\?|$)/, `$1/${DATABASE}`);
}

/** Where it is, without the password. @param {string} url */
export function hostsOf(url) {
  return url.replace(/^[\w+]+:\/\/([^/?]*@)?/, '').replace(/[/?].*/, '');
}
