/** The page of one's own account, to which links in mails lead as well. */

/** @import { AccountDetails, SessionList, User } from '../../sale/contract.ts' */

import { byId, element, setText, show } from '../shared/dom.js';
import { dateTime } from '../shared/format.js';
import { language, offered } from '../shared/language.js';
import { openRetry } from '../shared/retry.js';
import { mountShell } from '../shared/shell.js';
import { texts } from '../shared/texts.js';
import { toast } from '../shared/toast.js';
import { openAccount } from './account.js';
import {
  changeAccount,
  changePassword,
  deleteAccount,
  endSessionById,
  fetchAccount,
  fetchExport,
  fetchSessions,
  requestVerification,
} from './account-api.js';
import { accountForm, errorText, passwordField } from './account-form.js';
import { deviceOf } from './device.js';
import { chooseLanguage } from './language-choice.js';
import { showLink } from './mailed-link.js';
import { showRole } from './role.js';
import {
  asBuyer,
  beginSession,
  currentSession,
  endSession,
  NotSignedIn,
  onSessionChange,
  renew,
  signOutEverywhere,
} from './session.js';

/** @param {string} label @param {() => Promise<unknown>} work @param {string} [kind] */
function actionButton(label, work, kind = 'quiet') {
  const button = element('button', { type: 'button', class: kind }, label);
  onPress(button, work);
  return button;
}

/**
 * Disables the button while its work runs, and says in a toast what went wrong.
 * @param {HTMLButtonElement} button @param {() => Promise<unknown>} work
 */
function onPress(button, work) {
  button.addEventListener('click', async () => {
    if (button.disabled) return;
    button.disabled = true;
    try {
      await work();
    } catch (error) {
      if (!(error instanceof NotSignedIn)) toast(errorText(error));
    } finally {
      button.disabled = false;
    }
  });
}

/** @param {string} title @param {...(Node | string)} content */
const panel = (title, ...content) =>
  element('section', { class: 'panel' }, element('h2', {}, title), ...content);

const languages = /** @type {HTMLSelectElement} */ (byId('language'));
const saveButton = /** @type {HTMLButtonElement} */ (byId('save-language'));
const sendButton = /** @type {HTMLButtonElement} */ (byId('send-verification'));
/** Who has chosen a language on this page, which no answer of the server replaces. @type {string | undefined} */
let chooserId;

/** Fills in the panels that came with the page, and lets the buyer use them. @param {User} user */
function showUser(user) {
  showRole(user);
  setText(byId('address'), user.email);
  if (user.id !== chooserId) languages.value = offered.find((code) => code === user.language) ?? language;
  if (!languages.disabled) return;
  for (const control of [languages, saveButton, sendButton]) control.disabled = false;
}

/**
 * Renews a session that says something else of its buyer than the account: the address may have been confirmed on another
 * device. The renewed one says it to every page, and its token to the server.
 * @param {AccountDetails} account
 */
async function renewWhenChanged({ id, language, emailVerified = false }) {
  const session = currentSession();
  if (session?.user.id !== id) return;
  const { user } = session;
  if (user.language === language && (user.emailVerified ?? false) === emailVerified) return;
  await renew(session).catch(() => {});
}

async function saveLanguage() {
  const wished = /** @type {'en' | 'de' | 'fr'} */ (languages.value);
  await renewWhenChanged(await asBuyer((token) => changeAccount(token, { language: wished })));
  chooseLanguage(wished);
  location.reload();
}

async function sendVerification() {
  await asBuyer(requestVerification);
  toast(texts.verificationSent);
}

function passwordPanel() {
  const oldPassword = { ...passwordField('current-password'), name: 'oldPassword', label: texts.oldPassword };
  const form = accountForm('password', {
    action: texts.changePassword,
    fields: [oldPassword, { ...passwordField('new-password'), label: texts.newPassword }],
    send: ({ oldPassword = '', password = '' }) =>
      asBuyer((token) => changePassword(token, { oldPassword, password })),
    done(session) {
      beginSession(session);
      toast(texts.passwordChanged);
    },
  });
  return panel(texts.passwordTitle, element('p', { class: 'muted' }, texts.passwordNote), form);
}

/** @param {SessionList} list */
function sessionsPanel({ sessions, more }) {
  const lines = sessions.map(({ id, userAgent, createdAt, renewedAt, isCurrent }) => {
    const device = deviceOf(userAgent) || texts.unknownDevice;
    const end = actionButton(texts.endSession, async () => {
      await asBuyer((token) => endSessionById(token, id));
      toast(texts.sessionEnded);
      await draw();
    });
    end.setAttribute('aria-label', `${texts.endSession}: ${device}, ${dateTime(createdAt)}`);
    const used = texts.sessionUsed(dateTime(renewedAt ?? createdAt));
    const name = element('span', {}, device, element('br'), element('small', { class: 'muted' }, used));
    const here = element('span', { class: 'chip', 'data-status': 'verified' }, texts.thisDevice);
    return element('li', { class: 'row' }, name, isCurrent ? here : end);
  });
  const everywhere = actionButton(texts.signOutEverywhere, async () => {
    await signOutEverywhere();
    toast(texts.signedOut);
  });
  return panel(
    texts.sessionsTitle,
    element('ul', { class: 'sessions', 'data-testid': 'sessions' }, ...lines),
    ...(more ? [element('p', { class: 'muted' }, texts.moreSessions)] : []),
    element('p', { class: 'buttons' }, everywhere),
  );
}

function dataPanel() {
  const download = actionButton(texts.downloadData, async () => {
    const data = await asBuyer(fetchExport);
    const file = new Blob([JSON.stringify(data, null, 2)], { type: 'application/json' });
    const link = element('a', { href: URL.createObjectURL(file), download: 'stampede-account.json' });
    link.click();
    URL.revokeObjectURL(link.href);
  });
  const confirm = element('div', { class: 'panel' });
  show(confirm, false);
  const ask = element('button', { type: 'button', class: 'quiet danger' }, texts.deleteAccount);
  ask.addEventListener('click', () => {
    show(confirm, true);
    confirm.querySelector('button')?.focus();
  });
  const keep = element('button', { type: 'button', class: 'primary' }, texts.keepAccount);
  keep.addEventListener('click', () => {
    show(confirm, false);
    ask.focus();
  });
  const remove = actionButton(
    texts.deleteForGood,
    async () => {
      await asBuyer(deleteAccount);
      endSession('signed-out');
      toast(texts.accountDeleted);
    },
    'quiet danger',
  );
  confirm.append(element('p', {}, texts.deleteNote), element('p', { class: 'buttons' }, keep, remove));
  return panel(texts.dataTitle, element('p', { class: 'buttons' }, download, ask), confirm);
}

const retry = openRetry(() => draw());

async function draw() {
  retry.hold();
  const session = currentSession();
  if (session) showUser(session.user);
  else showRole();
  let note = '';
  try {
    const [account, sessions] = await Promise.all([asBuyer(fetchAccount), asBuyer(fetchSessions)]);
    // The buyer has signed out meanwhile, and the page was drawn anew.
    if (currentSession()?.user.id !== account.id) return;
    retry.done();
    showUser(account);
    renewWhenChanged(account);
    const ofPassword = account.hasPassword ? [passwordPanel()] : [];
    byId('more-panels').replaceChildren(...ofPassword, sessionsPanel(sessions), dataPanel());
  } catch (error) {
    const isSignedOut = error instanceof NotSignedIn;
    note = isSignedOut ? texts.accountSignIn : texts.loadFailed;
    if (isSignedOut) retry.done();
    else retry.soon(error);
    // Nothing stays of whoever has signed out.
    byId('more-panels').replaceChildren();
    setText(byId('address'), '');
  }
  show(byId('account'), note === '');
  setText(byId('note'), note);
  show(byId('note'), note !== '');
  show(byId('sign-in'), currentSession() === null);
}

/** Why a sign-in at the identity provider failed, from which the browser comes back to this page. */
function tellFailedSignIn() {
  const [, why] = /^#sign-in-failed=(away|refused|expired)$/.exec(location.hash) ?? [];
  if (!why) return;
  history.replaceState(null, '', location.pathname);
  toast(texts.signInFailed[/** @type {'away' | 'refused' | 'expired'} */ (why)]);
}

mountShell();
tellFailedSignIn();
onPress(sendButton, sendVerification);
onPress(saveButton, saveLanguage);
languages.addEventListener('change', () => {
  chooserId = currentSession()?.user.id;
});
byId('sign-in').addEventListener('click', () => openAccount());
onSessionChange(() => draw());
showLink(byId('link'), draw);
// A link that is opened in this tab changes only the fragment.
addEventListener('hashchange', () => showLink(byId('link'), draw));
draw();
