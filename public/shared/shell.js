/** The shell of every page: the header, which the server made, the banner, the toast and the account dialog. */

import { mountAccount, openAccount } from '../account/account.js';
import { keepEarlierChoice } from '../account/language-choice.js';
import { adoptSession, currentSession, onSessionChange } from '../account/session.js';
import { element, setText, show } from './dom.js';
import { texts } from './texts.js';
import { mountToast, toast } from './toast.js';

const banner = element('div', { class: 'banner', role: 'status', 'data-testid': 'banner' });
banner.hidden = true;

/** @param {boolean} isLost */
export function showConnectionLost(isLost) {
  setText(banner, isLost ? texts.connectionLost : '');
  show(banner, isLost);
}

export function mountShell() {
  keepEarlierChoice();
  const header = document.querySelector('.site-header');
  const account = header?.querySelector('.account');
  header?.after(banner);
  mountToast();
  mountAccount();

  const nameAccount = () => {
    const user = currentSession()?.user;
    if (account) setText(account, user ? user.name : texts.navSignIn);
    account?.toggleAttribute('data-signed-in', Boolean(user));
  };
  nameAccount();
  account?.setAttribute('aria-haspopup', 'dialog');
  // Before this script has come, the link leads to the account's own page.
  account?.addEventListener('click', (event) => {
    event.preventDefault();
    openAccount();
  });
  adoptSession();
  onSessionChange((change) => {
    nameAccount();
    if (change === 'expired') toast(texts.signInAgain);
  });
}
