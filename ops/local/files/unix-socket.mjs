/** Paths of Unix sockets, by which nginx reaches the servers (server/connections/unix-socket.ts) and the servers reach Redis. */
import { join } from 'node:path';

/** The longest path that every system can bind, and that UNIX_SOCKET in runtime/config.ts accepts. */
const PATH_MAX = 100;

/**
 * @param {string} dir
 * @param {string} name e.g. `server-1`
 * @returns {string | undefined} undefined when the path is too long for a socket, so that TCP is used.
 */
export function unixSocketIn(dir, name) {
  const path = join(dir, `${name}.sock`);
  return Buffer.byteLength(path) <= PATH_MAX ? path : undefined;
}
