import { parseCookie, stringifySetCookie } from 'cookie';

/**
 * The session's token is kept in a cookie that scripts cannot read and pages of other sites cannot send. Browsers send it to
 * /api/sessions only; all other requests need the access token, which browsers do not send by themselves.
 */
const name = 'stampede_session';
const attributes = { path: '/api/sessions', httpOnly: true, sameSite: 'strict' } as const;

export function sessionCookie(value: string, expires: Date, { isSecure }: { isSecure: boolean }): string {
  return stringifySetCookie({ ...attributes, name, value, expires, secure: isSecure });
}

export const noSessionCookie = (secure: { isSecure: boolean }) => sessionCookie('', new Date(0), secure);

/** @returns the session's token in a Cookie header; null when there is none. */
export function sessionTokenIn(header: string | undefined): string | null {
  const token = parseCookie(header ?? '')[name];
  return token !== undefined && /^[\w.-]{1,128}$/.test(token) ? token : null;
}
