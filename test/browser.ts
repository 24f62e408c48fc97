import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';

/** A page in a browser profile of its own: nobody is signed in, nothing is stored. */
export interface OpenBrowser {
  page(options?: BrowserContextOptions): Promise<Page>;
  close(): Promise<void>;
}

/** The machine's own Chromium; `CHROMIUM_PATH` names another one. It asks nothing of the internet. */
export async function openBrowser(): Promise<OpenBrowser> {
  const browser: Browser = await chromium.launch({
    executablePath: process.env.CHROMIUM_PATH ?? '/usr/bin/chromium',
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
  return {
    async page(options) {
      const context = await browser.newContext({ locale: 'en-GB', ...options });
      // Below the test's own limit, so that a failure names what was waited for.
      context.setDefaultTimeout(15_000);
      return context.newPage();
    },
    close: () => browser.close(),
  };
}
