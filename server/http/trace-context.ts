import { randomBytes } from 'node:crypto';

/** Version 00, a trace and a span that are not all zeros, flags. */
const pattern = /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;

/** The W3C trace context that a request came with; a new one when it has none, or one that cannot be read. */
export function traceparentOf(header: string | undefined): string {
  if (header !== undefined && pattern.test(header)) return header;
  const ids = randomBytes(24).toString('hex');
  return `00-${ids.slice(0, 32)}-${ids.slice(32)}-01`;
}
