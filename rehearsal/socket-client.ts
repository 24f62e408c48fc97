import { WebSocket } from 'ws';
import { withTimeout } from '../runtime/with-timeout.ts';

/** A websocket client that watches a sale as a browser tab does, cheap enough for thousands in one process. */
export interface SocketClient {
  close(): void;
}

/**
 * Speaks as much of socket.io's protocol as a page needs, and does not parse the messages. socket.io's own client parses
 * each message for each client, which with thousands of them would make the clients themselves late. Resolves when the server
 * has acknowledged `watch`.
 * @param onEvent is given every event as JSON: `["stock",{…}]`.
 * @throws Error when the socket is refused, or `watch` is not acknowledged within 30 s.
 */
export async function openSocketClient(
  { url, token, saleId }: { url: string; token: string; saleId: string },
  onEvent: (event: string) => void,
): Promise<SocketClient> {
  const address = `${url.replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket`;
  const socket = new WebSocket(address, { perMessageDeflate: false, handshakeTimeout: deadlineMs });
  const watching = new Promise<void>((resolve, reject) => {
    socket.on('message', (data: Buffer) => {
      const packet = data.toString();
      const kind = packet.slice(0, 2);
      if (kind === '42') onEvent(packet.slice(2));
      else if (packet === ping) socket.send(pong);
      else if (packet.startsWith(opened)) socket.send(`40${JSON.stringify({ token })}`);
      else if (kind === '40') socket.send(`420${JSON.stringify(['watch', { saleId }])}`);
      else if (kind === '43') resolve();
      else reject(new Error(`expected an acknowledgement of watch, got ${packet}`));
    });
    socket.on('close', () => reject(new Error('the socket was closed before the server acknowledged watch')));
    socket.on('error', reject);
  });
  await withTimeout(watching, deadlineMs, () => new Error('the server did not acknowledge watch in time'));
  return { close: () => socket.terminate() };
}

const deadlineMs = 30_000;

/** Packet types of engine.io. */
const [opened, ping, pong] = ['0', '2', '3'];
