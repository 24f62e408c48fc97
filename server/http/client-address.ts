import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';
import proxyAddr from 'proxy-addr';

/**
 * The client's address, believing as many proxies as stand in front: each adds the address it saw at the end of
 * X-Forwarded-For, and what stands before those was written by the client. Express' `trust proxy` does the same for
 * requests; sockets do not come through Express.
 */
export function clientAddressOf(request: IncomingMessage, trustedHops: number): string {
  return proxyAddr(request, (_address, hop) => hop < trustedHops) ?? '';
}

/**
 * What counts as one client: an IPv4 address, or the /64 network of IPv6 that one customer has to himself.
 * @returns what is not an address as it is.
 */
export function networkOf(address: string): string {
  if (!isIP(address)) return address;
  const parsed = ipaddr.process(address);
  const text = parsed.toNormalizedString();
  return parsed.kind() === 'ipv4' ? text : text.split(':').slice(0, 4).join(':');
}
