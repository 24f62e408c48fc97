import { Agent as HttpAgent, request as httpRequest } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';

export interface Answer {
  /** 0 when there was none. */
  status: number;
  body: string;
}

export interface Client {
  /** Never throws: a request without an answer has the status 0. */
  ask(method: 'GET' | 'POST', path: string, options?: AskOptions): Promise<Answer>;
  close(): void;
}

interface AskOptions {
  token?: string;
  /** Sent as JSON. */
  body?: object;
  headers?: Record<string, string>;
}

/** Longer than the longest wait that a server is asked for, and than nginx's own time-out. */
const deadlineMs = 20_000;
const maxBodyBytes = 1_048_576;

/** @param connections how many may be open at once; further requests wait for one, and their time counts. */
export function openClient(url: string, connections: number): Client {
  const isTls = new URL(url).protocol === 'https:';
  const options = { keepAlive: true, maxSockets: connections, scheduling: 'fifo' } as const;
  const agent = isTls ? new HttpsAgent(options) : new HttpAgent(options);
  const send = isTls ? httpsRequest : httpRequest;
  return {
    ask: (method, path, { token, body, headers = {} } = {}) =>
      new Promise((resolve) => {
        const json = body && JSON.stringify(body);
        const asking = send(new URL(path, url), {
          method,
          agent,
          signal: AbortSignal.timeout(deadlineMs),
          headers: {
            ...headers,
            ...(token && { Authorization: `Bearer ${token}` }),
            'Content-Length': json ? Buffer.byteLength(json) : 0,
            ...(json && { 'Content-Type': 'application/json' }),
          },
        });
        const noAnswer = () => resolve({ status: 0, body: '' });
        asking.on('error', noAnswer);
        asking.on('response', (response) => {
          const chunks: Buffer[] = [];
          let bytes = 0;
          response.on('data', (chunk: Buffer) => {
            bytes += chunk.length;
            if (bytes <= maxBodyBytes) chunks.push(chunk);
          });
          response.on('error', noAnswer);
          response.on('end', () =>
            resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() }),
          );
        });
        asking.end(json);
      }),
    close: () => agent.destroy(),
  };
}
