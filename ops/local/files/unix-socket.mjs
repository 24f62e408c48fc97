/** Where processes of one machine find each other: nginx its servers (server/http/unix-socket.ts), and those Redis. */
import { join } from 'node:path';

/** What every system can bind; UNIX_SOCKET in runtime/config.ts takes no more. */
const PATH_MAX = 100;

/**
 * @param {string} dir
 * @param {string} name e.g. `server-1`
 * @returns {string | undefined} absent when the folder lies too deep for a socket: then there is TCP.
 */
export function unixSocketIn(dir, name) {
  const path = join(dir, `${name}.sock`);
  return Buffer.byteLength(path) <= PATH_MAX ? path : undefined;
}
