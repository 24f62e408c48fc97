import axe from 'axe-core';
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

/** Opens a page in a new browser profile, with empty storage, and with the session `as` if it is given. */
export interface OpenBrowser {
  page(options?: BrowserContextOptions & { as?: object | null }): Promise<Page>;
  /** Closes all open pages, before the next test. */
  closePages(): Promise<void>;
  close(): Promise<void>;
}

/**
 * Opens the machine's Chromium, or the one of `CHROMIUM_PATH`, without internet access. If there is none, tests that open a
 * page are skipped.
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
    async page({ as, ...options } = {}) {
      const context = await browser.newContext({ locale: 'en-GB', ...options });
      contexts.push(context);
      // Shorter than the test's timeout, so that a failure names the missing element.
      context.setDefaultTimeout(15_000);
      const page = await context.newPage();
      const session = JSON.stringify(JSON.stringify(as));
      if (as) await page.addInitScript(`localStorage.setItem('stampede.session', ${session})`);
      return page;
    },
    async closePages() {
      await Promise.all(contexts.splice(0).map((context) => context.close()));
    },
    close: () => browser.close(),
  };
}

function leaveOut(): never {
  const test = getCurrentTest();
  if (!test) throw new Error(`Chromium is not installed: ${howToGet('Chromium')}`);
  test.meta.lacks = 'Chromium';
  return test.context.skip();
}

/** The violations that axe-core finds on the page, of these rules or of all: the rule, and the element. */
export async function objections(page: Page, ...rules: string[]): Promise<string[]> {
  if (!(await page.evaluate("'axe' in globalThis"))) await page.evaluate(axe.source);
  const options = rules.length > 0 ? { runOnly: rules } : {};
  const { violations } = await page.evaluate<AxeResult>(`axe.run(document, ${JSON.stringify(options)})`);
  return violations.flatMap(({ id, nodes }) =>
    nodes.map(({ html, failureSummary }) => `${id}: ${html.slice(0, 160)} (${failureSummary.slice(0, 300)})`),
  );
}

interface AxeResult {
  violations: { id: string; nodes: { html: string; failureSummary: string }[] }[];
}

/** Submits the sign-up form in the open account dialog. @returns the form. */
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
