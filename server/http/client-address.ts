import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';
import proxyAddr from 'proxy-addr';

/**
 * The client's address. Each trusted proxy appends the address it saw to X-Forwarded-For; earlier entries are ignored,
 * because the client may have written them. Express' `trust proxy` does the same for requests, but sockets do not pass
 * through Express.
 */
export function clientAddressOf(request: IncomingMessage, trustedHops: number): string {
  return proxyAddr(request, (_address, hop) => hop < trustedHops) ?? '';
}

/**
 * The key by which limits count a client: an IPv4 address, or the /64 network of an IPv6 address, because providers assign a
 * whole /64 network to one customer.
 * @returns the input when it is not an address.
 */
export function networkOf(address: string): string {
  if (!isIP(address)) return address;
  const parsed = ipaddr.process(address);
  const text = parsed.toNormalizedString();
  return parsed.kind() === 'ipv4' ? text : text.split(':').slice(0, 4).join(':');
}
