import { type Server as HttpServer, type ServerResponse, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type ProblemName, problemType, refuse } from '../http/problems.ts';

/** Answers on a connection for which Node creates no response, and ends it. */
export function refuseConnection(socket: Duplex, name: ProblemName, detail: string): void {
  const { problem, headers } = refuse(name, detail);
  const body = JSON.stringify(problem);
  const all = {
    ...headers,
    'Content-Type': problemType,
    'Content-Length': Buffer.byteLength(body),
    Connection: 'close',
  };
  const lines = Object.entries(all).map(([header, value]) => `${header}: ${value}`);
  const head = [`HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}`, ...lines].join('\r\n');
  endConnection(socket, `${head}\r\n\r\n${body}`);
}

/** How long incoming data is read and dropped after the answer. */
const lingerMs = 2_000;

/**
 * Ends a connection on which the client may still be sending. Closing it with unread data would reset it: the answer could be
 * lost, and nginx would count a failure of a healthy server.
 */
export function endConnection(socket: Duplex, answer?: string): void {
  socket.on('error', () => {});
  socket.end(answer);
  socket.resume();
  const linger = setTimeout(() => socket.destroy(), lingerMs).unref();
  socket.once('close', () => clearTimeout(linger));
}

type Connection = Duplex & { _httpMessage?: ServerResponse | null };

/**
 * Answers connections on which Node creates no request: input that is not HTTP or comes too slowly, and CONNECT. Also closes
 * a connection whose client reads nothing of an answer for as long as the server's `timeout`.
 */
export function refuseNonRequests(http: HttpServer): void {
  http.on('connect', (_request, socket: Duplex) =>
    refuseConnection(socket, 'method-not-allowed', 'expected GET, HEAD, POST, PATCH or DELETE'),
  );
  http.on('timeout', (socket: Socket) => {
    // After a plain close, the kernel would keep trying to send the unread data. Only TCP can be reset.
    if (socket.writableLength > 0 && socket.remoteAddress) socket.resetAndDestroy();
    else socket.destroy();
  });
  http.on('clientError', ({ code }: NodeJS.ErrnoException, socket: Connection) => {
    if (!socket.writable) return;
    // A second answer in the middle of one that is being sent would corrupt it.
    if (code === 'ECONNRESET' || socket._httpMessage?.headersSent) endConnection(socket);
    else if (code === 'ERR_HTTP_REQUEST_TIMEOUT')
      refuseConnection(socket, 'request-timeout', 'expected the whole request sooner');
    else if (code === 'HPE_HEADER_OVERFLOW')
      refuseConnection(socket, 'headers-too-large', 'expected at most 32 kB of headers');
    else refuseConnection(socket, 'invalid-input', 'It cannot be read as HTTP');
  });
}
