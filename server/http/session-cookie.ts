/**
 * The session's token lives in a cookie that no script can read and no other site's page can send. It goes to
 * /api/sessions only: everything else is opened by the access token, which no browser sends by itself.
 */
const cookieName = 'stampede_session';
const path = '/api/sessions';

export function sessionCookie(token: string, expiresAt: Date, { isSecure }: { isSecure: boolean }): string {
  const parts = [`${cookieName}=${token}`, `Path=${path}`, `Expires=${expiresAt.toUTCString()}`];
  return [...parts, 'HttpOnly', 'SameSite=Strict', ...(isSecure ? ['Secure'] : [])].join('; ');
}

export const noSessionCookie = (secure: { isSecure: boolean }) => sessionCookie('', new Date(0), secure);

/** @returns the session's token in a Cookie header; null when there is none. */
export function sessionTokenIn(header: string | undefined): string | null {
  const match = /(?:^|;\s*)stampede_session=([\w.-]{1,128})(?:;|$)/.exec(header ?? '');
  return match ? (match[1] as string) : null;
}
