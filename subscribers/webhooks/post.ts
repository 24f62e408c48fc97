import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { isIPv6 } from 'node:net';
import ipaddr from 'ipaddr.js';
import { RequestFilteringHttpAgent, RequestFilteringHttpsAgent } from 'request-filtering-agent';

/** SSRF protection: the agents check the address that a name was resolved to when they connect, also against DNS rebinding. */
const publicOnly = { 'http:': new RequestFilteringHttpAgent(), 'https:': new RequestFilteringHttpsAgent() };

/** Deprecated addresses that contain an IPv4 address; the agents take them for public ones. */
const ipv4Compatible = ipaddr.IPv6.parseCIDR('::/96');

export interface PostOptions {
  timeoutMs: number;
  privateAddresses: 'allowed' | 'refused';
}

/**
 * POSTs JSON to somebody else's server. Redirects are not followed, and what it answers besides the status is not read.
 * @returns the status.
 * @throws Error when there is no answer in time, or the address is private and must not be.
 */
export function post(
  url: URL,
  body: string,
  headers: Record<string, string>,
  { timeoutMs, privateAddresses }: PostOptions,
): Promise<number> {
  const isRefused = privateAddresses === 'refused';
  const isSecure = url.protocol === 'https:';
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const privateAddress = () => new Error(`${host} is a private address`);
  if (isRefused && isIPv6(host) && ipaddr.IPv6.parse(host).match(ipv4Compatible)) {
    return Promise.reject(privateAddress());
  }
  return new Promise((resolve, reject) => {
    const send = isSecure ? requestHttps : requestHttp;
    const request = send(url, {
      method: 'POST',
      headers: { ...headers, 'Content-Length': Buffer.byteLength(body) },
      signal: AbortSignal.timeout(timeoutMs),
      agent: isRefused && publicOnly[isSecure ? 'https:' : 'http:'],
    });
    request.once('response', (response) => {
      resolve(response.statusCode ?? 0);
      response.on('error', () => {}).destroy();
    });
    // Not `once`: what goes wrong after the answer must find a listener too.
    request.on('error', (error) => {
      if (error.name === 'AbortError') reject(new Error(`no answer in ${timeoutMs} ms`));
      else reject(error.message.includes('is not allowed') ? privateAddress() : error);
    });
    request.end(body);
  });
}
