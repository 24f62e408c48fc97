interface Headers {
  origin?: string | undefined;
  host?: string | undefined;
}

/**
 * Whether a request comes from a page of this site or of an allowed origin. A request without an Origin header is accepted,
 * because browsers always send the header when a page connects a socket or sends anything but a GET.
 */
export function isFromOwnPage({ origin, host }: Headers, allowed: readonly string[]): boolean {
  if (!origin) return true;
  return allowed.includes(origin) || (URL.canParse(origin) && new URL(origin).host === host);
}
