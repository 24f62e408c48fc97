import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { findEnvironment, runCommand } from '../commands/system.ts';
import { dataFolder } from '../embedded/folders.mjs';
import { openBrowser } from '../test/browser.ts';

/** `npm run screenshots`: the README's pictures, of the system that runs here, with a buyer who has just bought. */
await runCommand(async () => {
  const baseUrl = findEnvironment()?.BASE_URL;
  if (!baseUrl) throw new Error('No system runs here. Start one with `npm start`.');
  const { sales } = (await (await fetch(`${baseUrl}/api/sales`)).json()) as {
    sales: { id: string; status: string }[];
  };
  const sale = sales.find(({ status }) => status === 'open');
  if (!sale) throw new Error('No sale is open. Make one with `npm run seed`.');

  const browser = await openBrowser();
  try {
    const desktop = await browser.page({ viewport: { width: 1280, height: 860 } });
    await desktop.goto(`${baseUrl}/sales/${sale.id}`);
    await desktop.getByTestId('account').click();
    const { email, password } = demoBuyer();
    const form = desktop.getByTestId('sign-in-form');
    await form.getByLabel(/mail/i).fill(email);
    await form.getByLabel(/password/i).fill(password);
    await form.getByRole('button', { name: /sign in/i }).click();
    await desktop.getByTestId('buy').click();
    await desktop.getByTestId('order-status').waitFor();
    await desktop.waitForLoadState('networkidle');
    await desktop.screenshot({ path: 'docs/sale.png' });

    const phone = await browser.page({
      viewport: { width: 390, height: 844 },
      deviceScaleFactor: 2,
      colorScheme: 'dark',
    });
    await phone.goto(`${baseUrl}/sales/${sale.id}`);
    await phone.getByTestId('stock').waitFor();
    await phone.waitForLoadState('networkidle');
    await phone.screenshot({ path: 'docs/sale-phone.png' });
  } finally {
    await browser.close();
  }
});

function demoBuyer(): { email: string; password: string } {
  const accounts = JSON.parse(readFileSync(join(dataFolder(), 'accounts.json'), 'utf8'));
  return accounts.find(({ role }: { role: string }) => role === 'buyer');
}
