import type { Server as HttpServer, IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { redisClock } from '../../runtime/clock.ts';
import type { Config } from '../../runtime/config.ts';
import { limitHere } from '../../runtime/rate-limit/rate-limit.ts';
import { clientAddressOf, networkOf } from '../http/client-address.ts';
import { refuseConnection } from '../http/connection-refusals.ts';
import { limitOf } from '../http/limits.ts';
import { isFromOwnPage } from '../http/origin.ts';

/** The only address whose connections become websockets. */
export const socketPath = '/socket.io/';

/**
 * Who may open a socket: our own pages, and of one address not too many, and not too often. `cors` would not stop a
 * foreign page's websocket.
 */
export function openDoor(http: HttpServer, config: Config): { isOpenTo(request: IncomingMessage): boolean } {
  const connects = limitHere(limitOf(config, 'connects', config.SOCKET_CONNECTS_PER_ADDRESS_PER_MINUTE));
  const maxSockets = limitOf(config, 'sockets', config.SOCKETS_PER_ADDRESS).quota;
  /** Connections that became websockets and are open, by network. */
  const open = new Map<string, number>();

  http.on('upgrade', (request: IncomingMessage, socket: Duplex) => {
    // Node leaves whoever asks for an Upgrade to us, and engine.io answers its own path alone.
    if (!request.url?.startsWith(socketPath)) {
      refuseConnection(socket, 'invalid-input', `expected an Upgrade at ${socketPath} alone`);
      return;
    }
    const network = networkOf(clientAddressOf(request, config.TRUST_PROXY_HOPS));
    open.set(network, (open.get(network) ?? 0) + 1);
    request.socket.once('close', () => {
      const left = (open.get(network) ?? 1) - 1;
      if (left > 0) open.set(network, left);
      else open.delete(network);
    });
  });

  return {
    isOpenTo(request) {
      if (!isFromOwnPage(request.headers, config.ALLOWED_ORIGINS)) return false;
      const network = networkOf(clientAddressOf(request, config.TRUST_PROXY_HOPS));
      // Registered before socket.io's own listener, so this one is counted already.
      return (open.get(network) ?? 0) <= maxSockets && connects.take(network).isAllowed;
    },
  };
}

/** As much of a socket as this needs. */
interface BoundedSocket {
  data: { expiresAtMs: number };
  conn: {
    on(event: 'packet', listener: () => void): unknown;
    once(event: 'close', listener: () => void): unknown;
    close(discard?: boolean): unknown;
  };
}

const windowMs = 60_000;
/** Longer than this a timer cannot wait; a token is not good for so long. */
const maxTimerMs = 2 ** 31 - 1;

/** Cuts a socket off when its token expires, and when it says more than a page has to say. */
export function keepInBounds({ data, conn }: BoundedSocket, maxPerMinute: number): void {
  const expiry = setTimeout(
    () => conn.close(true),
    Math.min(data.expiresAtMs - redisClock.now().getTime(), maxTimerMs),
  );
  conn.once('close', () => clearTimeout(expiry));

  let windowEndsAt = 0;
  let packets = 0;
  conn.on('packet', () => {
    const now = performance.now();
    if (now >= windowEndsAt) {
      windowEndsAt = now + windowMs;
      packets = 0;
    }
    packets += 1;
    if (packets > maxPerMinute) conn.close(true);
  });
}
