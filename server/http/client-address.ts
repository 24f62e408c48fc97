import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';
import proxyAddr from 'proxy-addr';
import type { Config } from '../../runtime/config.ts';

/** Whether the proxy at this address, so many hops away, is trusted about who is behind it. */
export type TrustProxy = (address: string, hop: number) => boolean;

/** The first proxies by their number, and those in the trusted ranges wherever they are. */
export function openTrust({
  TRUST_PROXY_HOPS: hops,
  TRUSTED_PROXIES: ranges,
}: Pick<Config, 'TRUST_PROXY_HOPS' | 'TRUSTED_PROXIES'>): TrustProxy {
  const isInRange = proxyAddr.compile([...ranges]);
  return (address, hop) => hop < hops || isInRange(address, hop);
}

/**
 * The client's address. Each trusted proxy appends the address it saw to X-Forwarded-For; earlier entries are ignored,
 * because the client may have written them. Express' `trust proxy` does the same for requests, but sockets do not pass
 * through Express.
 */
export function clientAddressOf(request: IncomingMessage, trusts: TrustProxy): string {
  return proxyAddr(request, trusts) ?? '';
}

/** The IPv4 /24 or IPv6 /48 of an address, which a provider gives to one larger customer. */
export function rangeOf(address: string): string {
  const parsed = ipaddr.process(address);
  const text = parsed.toNormalizedString();
  return parsed.kind() === 'ipv4'
    ? text.split('.').slice(0, 3).join('.')
    : text.split(':').slice(0, 3).join(':');
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
