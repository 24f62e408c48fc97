import { readFile } from 'node:fs/promises';
import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { deviceOf } from '../../public/account/device.js';
import { createAccount, type OpenBrowser, objections, openBrowser } from '../support/browser.ts';
import { startSystem, type TestSystem } from '../support/harness.ts';
import { type MailCatcher, openMailCatcher } from '../support/mail-catcher.ts';
import { watchVitals } from '../support/vitals.ts';

let mailbox: MailCatcher;
let system: TestSystem;
let browser: OpenBrowser;
beforeAll(async () => {
  mailbox = await openMailCatcher();
  const env = { SMTP_URL: mailbox.url };
  [system, browser] = await Promise.all([startSystem({ servers: 1, env }), openBrowser()]);
});
afterAll(async () => {
  await browser.close();
  await system.close();
  await mailbox.close();
});
afterEach(() => browser.closePages());

/** The link in a mail. */
async function linkTo(email: string, subject: string): Promise<string> {
  const mail = await mailbox.mailTo(email, subject);
  return /http\S+\/account#\S+/.exec(mail.text ?? '')?.[0] ?? '';
}

const newEmail = () => `${crypto.randomUUID()}@example.com`;
const toasts = (page: Page, text: string) => page.getByTestId('toast').filter({ hasText: text }).waitFor();

test('a buyer confirms the address, changes the password, ends a session, and deletes the account', async () => {
  const page = await browser.page({ viewport: { width: 390, height: 844 }, reducedMotion: 'reduce' });
  const email = newEmail();
  await page.goto(`${system.url}/account`);
  await page.getByRole('button', { name: 'Sign in' }).last().click();
  await createAccount(page, { email });
  const status = page.getByTestId('address-status');
  await status.filter({ hasText: 'Not confirmed' }).waitFor();
  expect(await objections(page)).toEqual([]);

  const link = await linkTo(email, 'Confirm your address');
  await page.goto('about:blank');
  await page.goto(link);
  await expect.poll(() => page.evaluate('document.activeElement.textContent')).toBe('Confirm');
  expect(await objections(page)).toEqual([]);
  // The token does not stay in the history.
  expect(page.url()).toBe(`${system.url}/account`);
  await page.keyboard.press('Enter');
  await status.filter({ hasText: 'Address confirmed' }).waitFor();

  const elsewhere = await system.api('POST', '/api/sessions', {
    body: { email, password: 'a long enough password' },
    headers: { 'User-Agent': 'Mozilla/5.0 (iPhone; CPU iPhone OS 18_0) Version/18.0 Safari/604.1' },
  });
  expect(elsewhere.status).toBe(201);
  await page.reload();
  await page.setViewportSize({ width: 1440, height: 900 });
  await page.getByRole('button', { name: /Sign out there: Safari, iPhone/ }).waitFor();
  expect(await objections(page)).toEqual([]);
  await page.getByRole('button', { name: /Sign out there/ }).click();
  await toasts(page, 'That device is signed out');
  await page.getByTestId('sessions').getByRole('listitem').nth(1).waitFor({ state: 'detached' });

  const form = page.getByTestId('password-form');
  await form.getByLabel('Present password').fill('not the password');
  await form.getByLabel('New password').fill('another long password');
  await form.getByRole('button').click();
  await form.getByText('That is not your present password').waitFor();
  await form.getByLabel('Present password').fill('a long enough password');
  await form.getByRole('button').click();
  await toasts(page, 'Your password is changed');

  const [download] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('button', { name: 'Download my data' }).click(),
  ]);
  const data = JSON.parse(await readFile(await download.path(), 'utf8'));
  expect(data.user).toMatchObject({ email, language: 'en', emailVerifiedAt: expect.any(String) });

  await page.getByRole('button', { name: 'Delete my account' }).click();
  expect(await objections(page)).toEqual([]);
  await page.getByRole('button', { name: 'Delete for good' }).click();
  await toasts(page, 'Your account is deleted');
  await page.getByText('Sign in to see your account').waitFor();
  expect(await system.store.collections.users.countDocuments({ email })).toBe(0);
});

test('a forgotten password is replaced in the reader’s language, which can be changed', async () => {
  const { email } = await system.signUp();
  const page = await browser.page({ locale: 'de-CH', viewport: { width: 390, height: 844 } });
  await page.goto(`${system.url}/account`);
  await page.getByRole('button', { name: 'Anmelden' }).last().click();
  await page.getByRole('button', { name: 'Passwort vergessen?' }).click();
  const form = page.getByTestId('forgot-form');
  await form.getByLabel('E-Mail').fill(email);
  expect(await objections(page)).toEqual([]);
  await form.getByRole('button', { name: 'Link schicken' }).click();
  await toasts(page, 'ist eine E-Mail unterwegs');

  const link = await linkTo(email, 'A new password');
  await page.goto('about:blank');
  await page.goto(link);
  const reset = page.getByTestId('reset-form');
  await reset.getByLabel('Neues Passwort').fill('ein langes Passwort');
  expect(await objections(page)).toEqual([]);
  await page.keyboard.press('Enter');
  await page.getByTestId('address-status').filter({ hasText: 'Adresse bestätigt' }).waitFor();

  await page.getByLabel('Sprache').selectOption('fr');
  await page.getByRole('button', { name: 'Speichern' }).click();
  await page.getByRole('heading', { name: 'Mon compte' }).waitFor();
  expect(await system.store.collections.users.findOne({ email })).toMatchObject({ language: 'fr' });
  await page.goto(link);
  await page.getByTestId('reset-form').getByLabel('Nouveau mot de passe').fill('un long mot de passe');
  await page.keyboard.press('Enter');
  await page.getByText('Ce lien a déjà servi').waitFor();
});

test('a page stays as it was painted, and keeps what the reader chooses before the account answers', async () => {
  const page = await browser.page({ viewport: { width: 390, height: 844 }, reducedMotion: 'reduce' });
  await page.goto(`${system.url}/account`);
  await page.getByRole('button', { name: 'Sign in' }).last().click();
  const email = newEmail();
  await createAccount(page, { email });
  await page.getByTestId('sessions').waitFor();

  // Confirmed on another device, and the account answers slowly.
  await system.store.collections.users.updateOne({ email }, { $set: { emailVerifiedAt: new Date() } });
  let choose = () => {};
  const chosen = new Promise<void>((resolve) => {
    choose = resolve;
  });
  await page.route('**/api/account', async (route) => {
    await chosen;
    await route.continue();
  });
  await page.reload();
  await page.getByLabel('Language').selectOption('fr');
  choose();
  await page.getByText('Address confirmed').waitFor();
  expect(await page.getByLabel('Language').inputValue()).toBe('fr');
  const stored = () =>
    page.evaluate<boolean>("JSON.parse(localStorage['stampede.session']).user.emailVerified");
  await expect.poll(stored).toBe(true);

  // An account of the identity provider without an address, at a mail's link.
  await system.store.collections.users.updateOne({ email }, { $set: { email: 'from the provider' } });
  await page.evaluate(`{
    const session = JSON.parse(localStorage['stampede.session']);
    session.user.email = '';
    localStorage['stampede.session'] = JSON.stringify(session);
  }`);
  await page.route('**/*-page.js*', async (route) => {
    const paints = "performance.getEntriesByName('first-contentful-paint').length";
    await expect.poll(() => page.evaluate(paints), { timeout: 15_000 }).toBe(1);
    await route.continue();
  });
  const vitals = await watchVitals(page, { isSlow: false });
  for (const [path, shows] of [
    ['/account', 'sessions'],
    ['/account#verify=a.token', 'verify-form'],
  ] as const) {
    await page.goto('about:blank');
    await page.goto(system.url + path);
    await page.getByTestId(shows).waitFor();
    await page.getByTestId('sessions').waitFor();
    expect(await page.getByTestId('address-status').filter({ visible: true }).count()).toBe(0);
    expect((await vitals()).shift).toBeLessThan(0.005);
  }
});

test.each([
  ['Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/130.0 Safari/537.36 Edg/130.0', 'Edge, Windows'],
  ['Mozilla/5.0 (X11; Linux x86_64) HeadlessChrome/130.0 Safari/537.36', 'Chrome, Linux'],
  ['Mozilla/5.0 (Linux; Android 15) Gecko/130.0 Firefox/130.0', 'Firefox, Android'],
  ['curl/8', ''],
])('%s is %j', (userAgent, device) => {
  expect(deviceOf(userAgent)).toBe(device);
});

test('a browser that blocks storage signs in for as long as it has the cookie, and is told so', async () => {
  const page = await browser.page({ viewport: { width: 390, height: 844 }, reducedMotion: 'reduce' });
  await page.addInitScript(() => {
    const get = () => {
      throw new DOMException('blocked', 'SecurityError');
    };
    for (const name of ['localStorage', 'sessionStorage']) Object.defineProperty(globalThis, name, { get });
  });
  const sale = await system.createSale({ stock: 5 });
  await page.goto(`${system.url}/sales/${sale.id}`);
  await page.getByTestId('account').click();
  await createAccount(page, { email: newEmail() });
  await toasts(page, 'Signed in on this page only');
  await page.getByTestId('buy').click();
  await page.getByTestId('order-status').filter({ hasText: /\S/ }).waitFor();
  await page.goto(`${system.url}/orders`);
  await page.getByRole('link', { name: sale.product.name }).waitFor();
});
