/** What a link in a mail asks for: `#verify=<token>` or `#reset=<token>` in the page's address. */

import { element, show } from '../shared/dom.js';
import { texts } from '../shared/texts.js';
import { toast } from '../shared/toast.js';
import { resetPassword, verifyEmail } from './account-api.js';
import { accountForm, passwordField } from './account-form.js';
import { openedLink } from './link.js';
import { beginSession, currentSession, renew } from './session.js';

/**
 * Shows the form of the link in the page's address, and removes the token from the address. Only a press of the button
 * redeems it, because programs that look into mails open links too.
 * @param {HTMLElement} place @param {() => void} verified
 */
export function showLink(place, verified) {
  const link = openedLink();
  if (!link) return;
  const { kind, token } = link;
  history.replaceState(null, '', location.pathname);
  const title = kind === 'verify' ? texts.verifyTitle : texts.resetTitle;
  const form = kind === 'verify' ? verifyForm(token, closing(verified)) : resetForm(token, closing());
  place.replaceChildren(element('h2', {}, title), form);
  show(place, true);
  document.documentElement.removeAttribute('data-link');
  /** @type {HTMLElement | null} */ (form.querySelector('input, button'))?.focus();

  /** @param {() => void} [then] */
  function closing(then) {
    return () => {
      show(place, false);
      then?.();
    };
  }
}

/** @param {string} token @param {() => void} done */
function verifyForm(token, done) {
  return accountForm('verify', {
    action: texts.verifyNow,
    fields: [],
    send: () => verifyEmail(token),
    async done() {
      toast(texts.addressVerified);
      // The next access token says that the address is verified.
      const session = currentSession();
      if (session) await renew(session).catch(() => {});
      done();
    },
  });
}

/** @param {string} token @param {() => void} done */
function resetForm(token, done) {
  return accountForm('reset', {
    action: texts.resetNow,
    fields: [{ ...passwordField('new-password'), label: texts.newPassword }],
    send: ({ password = '' }) => resetPassword(token, password),
    done(session) {
      done();
      beginSession(session);
      toast(texts.passwordChanged);
    },
  });
}
