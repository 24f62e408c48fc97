/** The dialog to sign in, sign up and sign out. */

/** @import { Session } from '../../sale/contract.ts' */

import { createAccount, createSession } from '../shared/api.js';
import { element, setText, show } from '../shared/dom.js';
import { language } from '../shared/language.js';
import { texts } from '../shared/texts.js';
import { toast } from '../shared/toast.js';
import { fetchSignIn, requestPasswordReset } from './account-api.js';
import { accountForm, emailField, passwordField } from './account-form.js';
import { beginSession, currentSession, signOut, signOutEverywhere } from './session.js';

/** @typedef {'sign-in' | 'sign-up' | 'forgot' | 'signed-in'} View */

const dialog = element('dialog', { class: 'dialog', 'aria-labelledby': 'dialog-title' });
const title = element('h2', { id: 'dialog-title' });
const settings = element('a', { href: '/account', class: 'primary' }, texts.toAccount);
/** The way of staff to the control room. */
const room = element('a', { href: '/admin', class: 'primary' }, texts.toControlRoom);
const views = {
  'sign-in': signInForm(),
  'sign-up': signUpForm(),
  forgot: forgotForm(),
  'signed-in': signedIn(),
};
const titles = {
  'sign-in': texts.signInTitle,
  'sign-up': texts.signUpTitle,
  forgot: texts.forgotTitle,
  'signed-in': '',
};

export function mountAccount() {
  const close = element('button', { type: 'button', class: 'close', 'aria-label': texts.close }, '×');
  close.addEventListener('click', () => dialog.close());
  dialog.addEventListener('click', (event) => {
    if (event.target === dialog) dialog.close();
  });
  dialog.append(close, title, elsewhere, ...Object.values(views));
  document.body.append(dialog);
}

/** @param {'sign-in' | 'sign-up'} [wanted] */
export function openAccount(wanted = 'sign-in') {
  // showModal() focuses the first button, so the view moves the focus to its first field afterwards.
  dialog.showModal();
  showView(currentSession() ? 'signed-in' : wanted);
  offerProvider();
}

/** The link to the shop's identity provider, if it has one. */
const elsewhere = element('a', { class: 'primary elsewhere', 'data-testid': 'provider' });
elsewhere.hidden = true;

/** Whether people sign in with passwords here; false once the server has said so. */
let takesPasswords = true;

async function offerProvider() {
  if (elsewhere.textContent === '') {
    const { provider, passwords = true } = await fetchSignIn().catch(() => ({
      provider: null,
      passwords: true,
    }));
    if (!provider) return;
    takesPasswords = passwords;
    const returnTo = encodeURIComponent(location.pathname);
    elsewhere.setAttribute('href', `${provider.path}?returnTo=${returnTo}`);
    setText(elsewhere, texts.signInAt(provider.name));
  }
  const isSignedOut = currentSession() === null;
  show(elsewhere, isSignedOut);
  if (takesPasswords || !isSignedOut) return;
  showView('sign-in');
  elsewhere.focus();
}

/** @param {View} wanted */
function showView(wanted) {
  const user = currentSession()?.user;
  const isStaff = user !== undefined && user.role !== 'buyer';
  show(room, isStaff);
  settings.className = isStaff ? 'quiet' : 'primary';
  setText(title, user ? user.name : titles[wanted]);
  const address = views['signed-in'].querySelector('p');
  if (address) setText(address, user?.email ?? '');
  for (const [name, view] of Object.entries(views))
    show(view, name === wanted && (takesPasswords || user !== undefined));
  views[wanted].querySelector('input')?.focus();
}

function signInForm() {
  return accountForm('sign-in', {
    action: texts.signIn,
    fields: [emailField(), passwordField('current-password')],
    others: [
      { label: texts.toSignUp, show: () => showView('sign-up') },
      { label: texts.toForgot, show: () => showView('forgot') },
    ],
    done: welcome,
    send: ({ email = '', password = '' }) => createSession({ email, password }),
  });
}

function signUpForm() {
  const name = { name: 'name', label: texts.name, autocomplete: 'name', required: true, maxlength: '80' };
  return accountForm('sign-up', {
    action: texts.signUp,
    fields: [name, emailField(), passwordField('new-password')],
    others: [{ label: texts.toSignIn, show: () => showView('sign-in') }],
    done: welcome,
    send: ({ email = '', password = '', name = '' }) => createAccount({ email, password, name, language }),
  });
}

function forgotForm() {
  return accountForm('forgot', {
    action: texts.forgotSend,
    fields: [emailField()],
    others: [{ label: texts.toSignIn, show: () => showView('sign-in') }],
    send: ({ email = '' }) => requestPasswordReset(email),
    done() {
      dialog.close();
      toast(texts.forgotSent);
    },
  });
}

function signedIn() {
  const orders = element('a', { href: '/orders', class: 'quiet' }, texts.navOrders);
  const leave = element('button', { type: 'button', class: 'quiet' }, texts.signOut);
  leave.addEventListener('click', () => {
    dialog.close();
    signOut();
    toast(texts.signedOut);
  });
  const leaveAll = element('button', { type: 'button', class: 'quiet' }, texts.signOutEverywhere);
  leaveAll.addEventListener('click', async () => {
    dialog.close();
    await signOutEverywhere().then(
      () => toast(texts.signedOut),
      () => toast(texts.noAnswer),
    );
  });
  const address = element('p', { class: 'muted' });
  return element('div', { class: 'form' }, address, room, settings, orders, leave, leaveAll);
}

/** @param {Session} session */
function welcome(session) {
  dialog.close();
  const isKept = beginSession(session);
  toast(isKept ? texts.welcome(session.user.name) : texts.signedInHere);
}
