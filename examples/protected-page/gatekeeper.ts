import { createServer, type Server } from 'node:http';
import {
  cookieOf,
  passesIn,
  readKeys,
  roomUrl,
  verifyPass,
} from '../../clients/pass-verifier/pass-verifier.mjs';

/**
 * Answers nginx' `auth_request`: 204 to a request with a valid pass, and otherwise 401 with the address of the waiting room.
 * A pass that comes in the address is kept as a cookie, with which the other pages open.
 */
export interface GatekeeperOptions {
  /** The site that is protected. It is not taken from the request, which its sender writes. */
  siteUrl: string;
  stampedeUrl: string;
  saleId: string;
  /** Of the site, as Stampede's `GET /api/admin/sales/:id/site-keys` gives them. */
  keys: string;
}

export function openGatekeeper({ siteUrl, stampedeUrl, saleId, keys }: GatekeeperOptions): Server {
  const known = readKeys(keys);
  return createServer((request, response) => {
    const original = String(request.headers['x-original-uri']);
    const path = original.startsWith('/') ? original : '/';
    const passes = passesIn({ url: path, cookie: request.headers.cookie });
    for (const pass of passes) {
      const verified = verifyPass(pass, { saleId, keys: known });
      if (!verified) continue;
      const isSecure = siteUrl.startsWith('https:');
      response.writeHead(204, { 'Set-Cookie': cookieOf(pass, verified, { isSecure }) }).end();
      return;
    }
    const returnTo = new URL(siteUrl).origin + path;
    response.writeHead(401, { 'X-Room-Url': roomUrl({ stampedeUrl, saleId, returnTo }) }).end();
  });
}
