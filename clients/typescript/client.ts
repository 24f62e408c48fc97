import createFetchClient, { type Client } from 'openapi-fetch';
import type { paths } from './schema.ts';

export type { paths } from './schema.ts';

export interface ClientOptions {
  /** Where the shop is, e.g. `https://shop.example`. */
  url: string;
  /** An access token or an API key, or a function that gives one for each request; null to send none. */
  token?: string | null | (() => string | null | Promise<string | null>);
}

/**
 * A client of the API: `client.GET('/api/sales/{id}', { params: { path: { id } } })` has the types of the OpenAPI document.
 * Each call resolves to `{ data, error, response }`, where `error` is the problem of a refusal; it rejects when the shop cannot be
 * reached.
 */
export function createClient({ url, token = null }: ClientOptions): Client<paths> {
  const client = createFetchClient<paths>({ baseUrl: url });
  client.use({
    async onRequest({ request }) {
      const current = typeof token === 'function' ? await token() : token;
      if (current) request.headers.set('Authorization', `Bearer ${current}`);
      return request;
    },
  });
  return client;
}
