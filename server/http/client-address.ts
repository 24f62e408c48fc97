import type { IncomingMessage } from 'node:http';
import { isIPv6 } from 'node:net';

/**
 * The client's address, believing as many proxies as stand in front: each adds the address it saw at the end of
 * X-Forwarded-For, and what stands before those was written by the client. Express' `trust proxy` does the same for
 * requests; sockets do not come through Express.
 */
export function clientAddressOf({ headers, socket }: IncomingMessage, trustedHops: number): string {
  const claimed = [headers['x-forwarded-for'] ?? []].flat().join(',').split(',');
  const seen = [socket.remoteAddress ?? '', ...claimed.map((address) => address.trim()).reverse()];
  return seen.slice(0, trustedHops + 1).findLast(Boolean) ?? '';
}

/** What counts as one client: an IPv4 address, or the /64 network of IPv6 that one customer has to himself. */
export function networkOf(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address);
  if (mapped) return mapped[1] as string;
  if (!isIPv6(address)) return address;
  const [head = '', tail] = address.split('::');
  const groups = head.split(':').filter(Boolean);
  const rest = tail?.split(':').filter(Boolean) ?? [];
  const zeros = tail === undefined ? 0 : 8 - groups.length - rest.length;
  return [...groups, ...Array<string>(Math.max(zeros, 0)).fill('0'), ...rest].slice(0, 4).join(':');
}
