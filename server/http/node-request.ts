import type { IncomingMessage, ServerResponse } from 'node:http';
import express from 'express';
import { clientAddressOf, networkOf, type TrustProxy } from './client-address.ts';
import type { HttpRequest } from './pipeline.ts';
import { invalidJson, type Refusal, refuse } from './problems.ts';
import type { Route } from './route.ts';

export interface RequestBounds {
  /** Which proxies in front are trusted about their headers. */
  trusts: TrustProxy;
  /** Maximum size of a JSON body. */
  bodyMaxBytes: number;
}

/** The request that the pipeline reads. It uses Node's own message, so that it is the same with and without Express. */
export class NodeRequest implements HttpRequest {
  readonly receivedAtMs = performance.now();
  readonly params: unknown;
  readonly query: unknown;
  readonly #message: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #bounds: RequestBounds;

  constructor(
    message: IncomingMessage,
    response: ServerResponse,
    input: { params: unknown; query: unknown },
    bounds: RequestBounds,
  ) {
    this.params = input.params;
    this.query = input.query;
    this.#message = message;
    this.#response = response;
    this.#bounds = bounds;
  }

  get method(): string {
    return this.#message.method ?? '';
  }
  get url(): string {
    return this.#message.url ?? '';
  }
  get address(): string {
    return clientAddressOf(this.#message, this.#bounds.trusts);
  }
  get network(): string {
    return networkOf(this.address);
  }
  get isSecure(): boolean {
    const protocol = this.header('x-forwarded-proto') ?? '';
    if (protocol.split(',')[0]?.trim() !== 'https') return false;
    return this.#bounds.trusts(this.#message.socket.remoteAddress ?? '', 0);
  }

  header(name: string): string | undefined {
    return this.#message.headers[name] as string | undefined;
  }

  onClosed(listener: () => void): void {
    // The client may have disconnected while the handler awaited something.
    if (this.#response.destroyed) listener();
    else this.#response.once('close', listener);
  }

  readBody({ file }: Pick<Route, 'file'>): Promise<unknown> {
    return file ? readFile(this.#message, file) : readJson(this.#message, this.#bounds.bodyMaxBytes);
  }
}

async function readJson(message: IncomingMessage, maxBytes: number): Promise<unknown> {
  if (isPlainJson(message, maxBytes)) return readPlainJson(message);
  // The parser is not strict, so that the schema refuses a text or a number like every other wrong input.
  const body = await readWith(
    express.json({ limit: maxBytes, type: 'application/json', strict: false }),
    message,
  );
  return body === undefined ? noJson(message) : body;
}

async function readFile(
  message: IncomingMessage,
  { type, maxBytes }: NonNullable<Route['file']>,
): Promise<Buffer | Refusal> {
  const body = await readWith(express.raw({ limit: maxBytes, type }), message);
  if (Buffer.isBuffer(body)) return body;
  const got = message.headers['content-type']?.slice(0, 100) ?? 'none';
  return refuse('unsupported-media-type', `expected the bytes of ${type}, got ${got}`);
}

type BodyParser = ReturnType<typeof express.json>;

/** @returns undefined when there is no body of the parser's type. @throws an error that `refusalOf` turns into a refusal. */
function readWith(parser: BodyParser, message: IncomingMessage & { body?: unknown }): Promise<unknown> {
  return new Promise((resolve, reject) => {
    parser(message, {} as ServerResponse, (error) => (error ? reject(error) : resolve(message.body)));
  });
}

/** Nearly all clients send plain JSON, which is read without the costly body parser: see hot.ts. */
function isPlainJson({ headers }: IncomingMessage, maxBytes: number): boolean {
  const bytes = Number(headers['content-length'] ?? 0);
  return (
    /^application\/json(?:; ?charset=utf-8)?$/i.test(headers['content-type'] ?? '') &&
    headers['content-encoding'] === undefined &&
    bytes > 0 &&
    bytes <= maxBytes
  );
}

const utf8 = new TextDecoder();

function readPlainJson(message: IncomingMessage): Promise<unknown> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    message.on('data', (chunk) => chunks.push(chunk));
    message.on('end', () => resolve(parseJson(utf8.decode(Buffer.concat(chunks)))));
    // The client has disconnected, so this refusal only ends the handling.
    message.on('error', () => resolve(refuse('invalid-input', 'The request broke off')));
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return invalidJson();
  }
}

function noJson({ headers }: IncomingMessage): Refusal {
  const type = headers['content-type'];
  if (type) return refuse('unsupported-media-type', `expected application/json, got ${type.slice(0, 100)}`);
  return refuse('invalid-input', 'expected a JSON body with `Content-Type: application/json`, got none');
}
