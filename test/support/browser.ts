import {
  type Browser,
  type BrowserContext,
  type BrowserContextOptions,
  chromium,
  type Locator,
  type Page,
} from 'playwright-core';
import { getCurrentTest } from 'vitest/suite';
import { howToGet, pathOf } from './needs.ts';

/** A page in a browser profile of its own: nobody is signed in, nothing is stored. */
export interface OpenBrowser {
  page(options?: BrowserContextOptions): Promise<Page>;
  /** Closes every page that is open, for the next test. */
  closePages(): Promise<void>;
  close(): Promise<void>;
}

/**
 * The machine's own Chromium; `CHROMIUM_PATH` names another one. It asks nothing of the internet. Where there is none, a
 * test that asks for a page is left out.
 */
export async function openBrowser(): Promise<OpenBrowser> {
  const executablePath = pathOf('Chromium');
  if (!executablePath)
    return { page: async () => leaveOut(), closePages: async () => {}, close: async () => {} };
  const browser: Browser = await chromium.launch({
    executablePath,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
  const contexts: BrowserContext[] = [];
  return {
    async page(options) {
      const context = await browser.newContext({ locale: 'en-GB', ...options });
      contexts.push(context);
      // Below the test's own limit, so that a failure names what was waited for.
      context.setDefaultTimeout(15_000);
      return context.newPage();
    },
    async closePages() {
      await Promise.all(contexts.splice(0).map((context) => context.close()));
    },
    close: () => browser.close(),
  };
}

function leaveOut(): never {
  const test = getCurrentTest();
  if (!test) throw new Error(`Chromium is not on this machine: ${howToGet('Chromium')}`);
  test.meta.lacks = 'Chromium';
  return test.context.skip();
}

/** In the open account dialog, asks for an account. @returns the form. */
export async function createAccount(
  page: Page,
  { email, password = 'a long enough password' }: { email: string; password?: string },
): Promise<Locator> {
  await page.getByRole('button', { name: 'New here? Create an account' }).click();
  const form = page.getByTestId('sign-up-form');
  await form.getByLabel('Name').fill('Ada');
  await form.getByLabel('Email').fill(email);
  await form.getByLabel('Password').fill(password);
  await form.getByRole('button', { name: 'Create account' }).click();
  return form;
}
