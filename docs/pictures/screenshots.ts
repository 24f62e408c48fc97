import { setTimeout as delay } from 'node:timers/promises';
import type { BrowserContextOptions, Page } from 'playwright-core';
import sharp from 'sharp';
import { runCommand } from '../../commands/system.ts';
import { openBrowser } from '../../test/support/browser.ts';
import { film } from './animation.ts';
import { openDemoShop } from './demo-shop.ts';

/** `npm run screenshots`: takes the README's pictures and its animation in a shop that is started for them. */
await runCommand(async () => {
  const shop = await openDemoShop();
  const browser = await openBrowser();

  async function open(path: string, as: object | null, options: BrowserContextOptions): Promise<Page> {
    const page = await browser.page(options);
    const session = JSON.stringify(JSON.stringify(as));
    if (as) await page.addInitScript(`localStorage.setItem('stampede.session', ${session})`);
    await page.goto(shop.url + path);
    return page;
  }
  async function keep(page: Page, file: string): Promise<void> {
    const shot = await page.screenshot();
    await sharp(shot).png({ palette: true, quality: 90, effort: 8 }).toFile(file);
    await page.context().close();
  }
  const desktop = { viewport: { width: 1_280, height: 940 } };

  try {
    const first = await shop.putOnSale({ opensInMs: 4_000, stock: 400 });
    const filmed = await open(`/sales/${first.id}`, shop.buyer, { viewport: { width: 1_000, height: 830 } });
    await filmed.locator('[data-state=soon]').waitFor();
    await film(filmed, 'docs/pictures/sale.webp', async () => {
      await filmed.locator('[data-state=buy]').waitFor();
      const leave = shop.startBuyers(first.id, 45);
      await delay(900);
      await filmed.getByTestId('buy').click();
      await filmed.locator('[data-state=paid]').waitFor();
      await filmed.getByTestId('stock').filter({ hasText: /^0$/ }).waitFor();
      await leave();
      await delay(500);
    });
    await filmed.context().close();

    await shop.putOnSale({ name: 'Aurora Mini', image: '', stock: 120, opensInMs: 7_200_000 });
    const sale = await shop.putOnSale({ stock: 8_000 });
    const leave = shop.startBuyers(sale.id, 60);
    const watchers = await Promise.all(
      Array.from({ length: 6 }, () => open(`/sales/${sale.id}`, null, desktop)),
    );
    const room = await open('/admin', shop.admin, { viewport: { width: 1_440, height: 1_000 } });
    const oneSale = await open(`/admin#sale/${first.id}`, shop.admin, {
      viewport: { width: 1_440, height: 860 },
      colorScheme: 'dark',
    });
    const bought = await open(`/sales/${sale.id}`, shop.buyer, desktop);
    await bought.getByTestId('buy').click();
    await bought.locator('[data-state=paid]').waitFor();
    const phone = await open(`/sales/${sale.id}`, null, {
      viewport: { width: 390, height: 844 },
      deviceScaleFactor: 2,
      colorScheme: 'dark',
    });
    const wall = await open(`/ticker/${sale.id}`, null, { viewport: { width: 1_280, height: 720 } });
    // Long enough for the charts to have data.
    await delay(25_000);
    await keep(room, 'docs/pictures/control-room.png');
    await keep(oneSale, 'docs/pictures/control-room-sale.png');
    await keep(bought, 'docs/pictures/sale.png');
    await keep(phone, 'docs/pictures/sale-phone.png');
    await keep(wall, 'docs/pictures/ticker.png');
    await leave();
    await Promise.all(watchers.map((page) => page.context().close()));
  } finally {
    await browser.close();
    await shop.close();
  }
});
