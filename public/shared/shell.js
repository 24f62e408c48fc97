/** The shell of every page: header, banner, toast and account dialog. */

import { mountAccount, openAccount } from '../account/account.js';
import { adoptSession, currentSession, onSessionChange } from '../account/session.js';
import { element, setText, show } from './dom.js';
import { fillTexts, texts } from './texts.js';
import { mountToast, toast } from './toast.js';

const banner = element('div', { class: 'banner', role: 'status', 'data-testid': 'banner' });
banner.hidden = true;

/** @param {boolean} isLost */
export function showConnectionLost(isLost) {
  setText(banner, isLost ? texts.connectionLost : '');
  show(banner, isLost);
}

export function mountShell() {
  document.documentElement.lang = texts.language;
  fillTexts(document);

  const account = element('button', { type: 'button', class: 'account', 'data-testid': 'account' });
  account.addEventListener('click', () => openAccount());
  const link = (/** @type {string} */ href, /** @type {string} */ text, kind = '') =>
    element(
      'a',
      { href, class: kind, 'aria-current': href === location.pathname ? 'page' : undefined },
      text,
    );
  const header = document.querySelector('.site-header');
  header?.append(
    element('a', { href: '#main', class: 'skip' }, texts.skip),
    element('a', { href: '/', class: 'brand' }, texts.brand),
    element('nav', {}, link('/', texts.navSales, 'wide-only'), link('/orders', texts.navOrders)),
    account,
  );
  header?.after(banner);
  mountToast();
  mountAccount();

  const nameAccount = () => {
    const user = currentSession()?.user;
    setText(account, user ? user.name : texts.signIn);
    account.toggleAttribute('data-signed-in', Boolean(user));
  };
  nameAccount();
  adoptSession();
  onSessionChange((change) => {
    nameAccount();
    if (change === 'expired') toast(texts.signInAgain);
  });
}
