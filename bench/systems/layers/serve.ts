import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import { readConfig } from '../../../runtime/config.ts';
import { listenOnUnixSocket } from '../../../server/connections/unix-socket.ts';

/** Runs one layer of the ladder as a server process. */
export async function serve(listener: RequestListener): Promise<void> {
  const { PORT, HOST, UNIX_SOCKET } = readConfig();
  const http = createServer(listener).listen(PORT, HOST);
  await once(http, 'listening');
  if (UNIX_SOCKET) await listenOnUnixSocket(http, UNIX_SOCKET);
  process.once('SIGTERM', () => process.exit());
}
