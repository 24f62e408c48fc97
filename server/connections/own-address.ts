import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/** How long a request of this server to itself may take. */
const timeoutMs = 10_000;

/** @returns a function that posts a simulated webhook to this server, as the provider would. */
export function deliverToSelf(http: Server) {
  return async (body: string, headers: Record<string, string>): Promise<void> => {
    const { address, port, family } = http.address() as AddressInfo;
    const isAny = address === '::' || address === '0.0.0.0';
    const host = isAny ? '127.0.0.1' : family === 'IPv6' ? `[${address}]` : address;
    const response = await fetch(`http://${host}:${port}/api/payments/simulated/webhooks`, {
      method: 'POST',
      headers: { ...headers, 'Content-Type': 'application/json' },
      body,
      signal: AbortSignal.timeout(timeoutMs),
    });
    await response.body?.cancel();
  };
}
