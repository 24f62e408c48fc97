import { lookup as resolve } from 'node:dns';
import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { BlockList, isIP, isIPv6, type LookupFunction } from 'node:net';

/** Addresses that lead into a network of our own, or nowhere. */
const [privateIPv4, privateIPv6] = [new BlockList(), new BlockList()];
for (const [network, bits] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 3],
] as const) {
  privateIPv4.addSubnet(network, bits, 'ipv4');
}
// Also what carries an IPv4 address inside, and could so be any of the above.
for (const [network, bits] of [
  ['::', 96],
  ['::ffff:0:0', 96],
  ['64:ff9b::', 96],
  ['64:ff9b:1::', 48],
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['fc00::', 7],
  ['fe80::', 10],
  ['fec0::', 10],
  ['ff00::', 8],
] as const) {
  privateIPv6.addSubnet(network, bits, 'ipv6');
}

export function isPrivate(address: string): boolean {
  // One list for both would take every IPv4 address for its mapping into IPv6.
  return isIPv6(address) ? privateIPv6.check(address, 'ipv6') : privateIPv4.check(address, 'ipv4');
}

/** Resolves a name to public addresses only. What is checked is what is connected to: nobody asks the name again. */
const lookupPublic: LookupFunction = (hostname, options, callback) => {
  resolve(hostname, { ...options, all: true }, (error, addresses) => {
    if (error) return callback(error, '');
    const inside = addresses.find(({ address }) => isPrivate(address));
    const [first] = addresses;
    if (inside || !first) return callback(new Error(`${hostname} is a private address`), '');
    if (options.all) callback(null, addresses);
    else callback(null, first.address, first.family);
  });
};

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
  const host = url.hostname.replace(/^\[|\]$/g, '');
  // An address in the URL is not looked up.
  if (isRefused && isIP(host) && isPrivate(host)) {
    return Promise.reject(new Error(`${host} is a private address`));
  }
  return new Promise((resolve, reject) => {
    const send = url.protocol === 'https:' ? requestHttps : requestHttp;
    const request = send(url, {
      method: 'POST',
      headers: { ...headers, 'Content-Length': Buffer.byteLength(body) },
      signal: AbortSignal.timeout(timeoutMs),
      agent: false,
      ...(isRefused && { lookup: lookupPublic }),
    });
    request.once('response', (response) => {
      resolve(response.statusCode ?? 0);
      response.on('error', () => {}).destroy();
    });
    // Not `once`: what goes wrong after the answer must find a listener too.
    request.on('error', (error) =>
      reject(error.name === 'AbortError' ? new Error(`no answer in ${timeoutMs} ms`) : error),
    );
    request.end(body);
  });
}
