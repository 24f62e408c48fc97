import type { Server as HttpServer, IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { redisClock } from '../../runtime/clock.ts';
import type { Config } from '../../runtime/config.ts';
import { limitHere } from '../../runtime/rate-limit.ts';
import { refuseConnection } from '../connections/refusals.ts';
import { clientAddressOf, networkOf, openTrust } from '../http/client-address.ts';
import { isFromOwnPage } from '../http/identity/origin.ts';
import { limitOf } from '../http/limits.ts';

/** The only path at which connections are upgraded to websockets. */
export const socketPath = '/socket.io/';

/**
 * Decides which websocket handshakes are allowed: those of our own origins, with limits on open sockets and new connections
 * by network. The Origin is checked here, because CORS does not apply to websockets.
 */
export function openConnectionGuard(
  http: HttpServer,
  config: Config,
): { allows(request: IncomingMessage): boolean } {
  const connects = limitHere(limitOf(config, 'connects', config.SOCKET_CONNECTS_PER_ADDRESS_PER_MINUTE));
  const maxSockets = limitOf(config, 'sockets', config.SOCKETS_PER_ADDRESS).quota;
  const trusts = openTrust(config);
  /** Number of open websockets, by network. */
  const open = new Map<string, number>();

  http.on('upgrade', (request: IncomingMessage, socket: Duplex) => {
    // Node leaves upgrades to their listeners, and engine.io handles only its own path.
    if (!request.url?.startsWith(socketPath)) {
      refuseConnection(socket, 'invalid-input', `expected an Upgrade at ${socketPath} alone`);
      return;
    }
    const network = networkOf(clientAddressOf(request, trusts));
    open.set(network, (open.get(network) ?? 0) + 1);
    request.socket.once('close', () => {
      const left = (open.get(network) ?? 1) - 1;
      if (left > 0) open.set(network, left);
      else open.delete(network);
    });
  });

  return {
    allows(request) {
      if (!isFromOwnPage(request.headers, config.ALLOWED_ORIGINS)) return false;
      const network = networkOf(clientAddressOf(request, trusts));
      // This connection is counted already, because the listener above runs before socket.io's.
      return (open.get(network) ?? 0) <= maxSockets && connects.take(network).isAllowed;
    },
  };
}

/** The part of a socket that limitSocket uses. */
interface LimitedSocket {
  data: { expiresAtMs: number };
  conn: {
    on(event: 'packet', listener: () => void): unknown;
    once(event: 'close', listener: () => void): unknown;
    close(discard?: boolean): unknown;
  };
}

const windowMs = 60_000;
/** The longest delay of a timer; no token is valid for so long. */
const maxTimerMs = 2 ** 31 - 1;

/** Closes a socket when its token expires or it exceeds the message rate limit. */
export function limitSocket({ data, conn }: LimitedSocket, maxPerMinute: number): void {
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
