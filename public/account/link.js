/** Reads the link from a mail, to verify an address or to reset a password, by which this page was opened. @returns {{ kind: 'verify' | 'reset', token: string } | null} */
export function openedLink() {
  const [, kind, token = ''] = /^#(verify|reset)=([\w.-]+)$/.exec(location.hash) ?? [];
  return kind ? { kind: /** @type {'verify' | 'reset'} */ (kind), token } : null;
}
