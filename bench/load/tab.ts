import { WebSocket } from 'ws';
import { within } from '../../runtime/within.ts';

/** A browser tab that watches a sale, for who needs thousands of them. */
export interface Tab {
  close(): void;
}

/**
 * Opens a tab: a websocket that speaks as much of socket.io as a page does, and leaves each message as the text that it
 * is. socket.io's own client takes it apart for every tab again, and with thousands of them in one process the last tab
 * would be told of late by the bench itself. Resolves when the tab watches.
 * @param hear is given every event as JSON: `["stock",{…}]`.
 * @throws Error when the socket is refused, or does not watch after 30 s.
 */
export async function openTab(
  { url, token, saleId }: { url: string; token: string; saleId: string },
  hear: (event: string) => void,
): Promise<Tab> {
  const address = `${url.replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket`;
  const socket = new WebSocket(address, { perMessageDeflate: false, handshakeTimeout: deadlineMs });
  const welcomed = new Promise<void>((resolve, reject) => {
    socket.on('message', (data: Buffer) => {
      const packet = data.toString();
      const kind = packet.slice(0, 2);
      if (kind === '42') hear(packet.slice(2));
      else if (packet === ping) socket.send(pong);
      else if (packet.startsWith(opened)) socket.send(`40${JSON.stringify({ token })}`);
      else if (kind === '40') socket.send(`420${JSON.stringify(['watch', { saleId }])}`);
      else if (kind === '43') resolve();
      else reject(new Error(`expected to watch, got ${packet}`));
    });
    socket.on('close', () => reject(new Error('the socket was closed before it watched')));
    socket.on('error', reject);
  });
  await within(deadlineMs, welcomed, () => new Error('the socket did not watch in time'));
  return { close: () => socket.terminate() };
}

const deadlineMs = 30_000;

/** Packets of engine.io. */
const [opened, ping, pong] = ['0', '2', '3'];
