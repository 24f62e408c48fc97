import { type Server as HttpServer, type ServerResponse, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type ProblemName, problemType, refuse } from '../http/problems.ts';

/** Answers on a connection for which Node makes no response, and ends it. */
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
  hangUp(socket, `${head}\r\n\r\n${body}`);
}

/** For how long what still comes in is read. */
const lingerMs = 2_000;

/**
 * Ends a connection on which the client may still be sending. To close it with something unread would reset it: the answer
 * might be lost, and nginx would count a failure of a healthy server.
 */
export function hangUp(socket: Duplex, lastWords?: string): void {
  socket.on('error', () => {});
  socket.end(lastWords);
  socket.resume();
  const linger = setTimeout(() => socket.destroy(), lingerMs).unref();
  socket.once('close', () => clearTimeout(linger));
}

type Connection = Duplex & { _httpMessage?: ServerResponse | null };

/**
 * Answers what never becomes a request: what Node cannot read as HTTP, or not in time, and who takes us for a proxy. And cuts
 * off who takes nothing of an answer for as long as the server's `timeout`.
 */
export function refuseNonRequests(http: HttpServer): void {
  http.on('connect', (_request, socket: Duplex) =>
    refuseConnection(socket, 'method-not-allowed', 'expected GET, HEAD, POST, PATCH or DELETE'),
  );
  http.on('timeout', (socket: Socket) => {
    // Merely closed, the kernel would go on offering what nobody takes. Only TCP can be reset.
    if (socket.writableLength > 0 && socket.remoteAddress) socket.resetAndDestroy();
    else socket.destroy();
  });
  http.on('clientError', ({ code }: NodeJS.ErrnoException, socket: Connection) => {
    if (!socket.writable) return;
    // The answer to an earlier request is on its way, and a second one in the middle of it would garble it.
    if (code === 'ECONNRESET' || socket._httpMessage?.headersSent) hangUp(socket);
    else if (code === 'ERR_HTTP_REQUEST_TIMEOUT')
      refuseConnection(socket, 'request-timeout', 'expected the whole request sooner');
    else if (code === 'HPE_HEADER_OVERFLOW')
      refuseConnection(socket, 'headers-too-large', 'expected at most 32 kB of headers');
    else refuseConnection(socket, 'invalid-input', 'It cannot be read as HTTP');
  });
}
