interface Headers {
  origin?: string | undefined;
  host?: string | undefined;
}

/**
 * Whether a request is not from another site's page. A browser always says where its page comes from when it
 * connects a socket or sends anything but a GET; who says nothing is no browser.
 */
export function isFromOwnPage({ origin, host }: Headers, allowed: readonly string[]): boolean {
  if (!origin) return true;
  return allowed.includes(origin) || (URL.canParse(origin) && new URL(origin).host === host);
}
