/** TCP ports on the loopback address. */
import { createServer } from 'node:net';

export const PORT_MAX = 65_535;
const FIRST = 10_000;
/** Below the range from which Linux (32768) and macOS (49152) take the ports of outgoing connections. */
const LAST = 32_000;

/**
 * Whether a server could listen on the port now, and if not, why.
 * @param {number} port
 * @returns {Promise<{ free: true } | { free: false, why: string, isForbidden: boolean }>}
 */
export function tryPort(port) {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', (/** @type {NodeJS.ErrnoException} */ error) => {
      const why = error.code === 'EADDRINUSE' ? 'another program listens there' : error.message;
      resolve({ free: false, why, isForbidden: error.code === 'EACCES' });
    });
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve({ free: true })));
  });
}

/**
 * A random free port, so that test files that run at once rarely collide. It is outside the range of outgoing connections,
 * so that a restarted server finds its port still free.
 * @returns {Promise<number>}
 */
export async function freePort() {
  for (let attempt = 0; attempt < 100; attempt++) {
    const port = FIRST + Math.floor(Math.random() * (LAST - FIRST));
    if ((await tryPort(port)).free) return port;
  }
  throw new Error(`No free port between ${FIRST} and ${LAST}`);
}

/**
 * The first `count` free ports from `first` on, or random ones beyond the last port.
 * @param {number} first
 * @param {number} count
 * @returns {Promise<number[]>}
 */
export async function freePortsFrom(first, count) {
  /** @type {number[]} */
  const ports = [];
  const last = Math.min(first + 1_000, PORT_MAX);
  for (let port = first; port <= last && ports.length < count; port++) {
    if ((await tryPort(port)).free) ports.push(port);
  }
  while (ports.length < count) {
    const port = await freePort();
    if (!ports.includes(port)) ports.push(port);
  }
  return ports;
}
