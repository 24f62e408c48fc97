import type { BrowserContextOptions, Page } from 'playwright-core';
import sharp from 'sharp';
import { runCommand } from '../../commands/system.ts';
import { openBrowser } from '../../test/support/browser.ts';
import { rowOf, watchVitals } from '../../test/support/vitals.ts';
import { openDemoShop } from './demo-shop.ts';

/**
 * Takes the pictures of docs/PAGES.md and measures what each of its pages costs, in a shop that is started for it, after one visit
 * that is not measured. Run it in two versions for a comparison: `node run.mjs docs/pictures/pages.ts after docs/pictures/pages`.
 */
const [suffix = 'after', folder = 'docs/pictures/pages'] = process.argv.slice(2);

await runCommand(async () => {
  const shop = await openDemoShop();
  const browser = await openBrowser();
  const phone = { viewport: { width: 390, height: 844 } };
  const open = async (as: object | null, options: BrowserContextOptions): Promise<Page> => {
    const page = await browser.page(options);
    const session = JSON.stringify(JSON.stringify(as));
    if (as) await page.addInitScript(`localStorage.setItem('stampede.session', ${session})`);
    return page;
  };
  try {
    const soon = await shop.putOnSale({ name: 'Aurora Mini', opensInMs: 108_000_000, stock: 120 });
    const sale = await shop.putOnSale({ stock: 800 });
    const leave = shop.startBuyers(sale.id, 40);
    const buying = await open(shop.buyer, phone);
    await buying.goto(`${shop.url}/sales/${sale.id}`);
    await buying.locator('#buy[data-state=buy]').click();
    await buying.locator('#buy[data-state=paid]').waitFor();
    await buying.context().close();
    const desk = { viewport: { width: 1_440, height: 900 } };
    const pages: [name: string, path: string, as: object | null, shows: string, BrowserContextOptions][] = [
      ['sale', `/sales/${sale.id}`, null, '#buy[data-state=sign-in]', phone],
      ['list', '/', null, '.card', phone],
      ['upcoming', `/sales/${soon.id}`, null, '#buy[data-state=soon]', phone],
      ['orders', '/orders', shop.buyer, '.order-line', phone],
      ['room', '/admin', shop.admin, '[data-testid=processes] td', desk],
    ];
    const table = [];
    for (const [name, path, as, shows, options] of pages) {
      for (const isMeasured of [false, true]) {
        const page = await open(as, options);
        const vitals = await watchVitals(page, { isSlow: isMeasured });
        await page.goto(shop.url + path);
        await page.locator(shows).first().waitFor({ timeout: 60_000 });
        await page.waitForLoadState('networkidle');
        if (isMeasured) table.push({ page: name, ...rowOf(await vitals()) });
        else await take(page, name);
        await page.context().close();
      }
    }
    console.table(table);
    await leave();
  } finally {
    await browser.close();
    await shop.close();
  }
});

async function take(page: Page, name: string): Promise<void> {
  // Until the charts have something to show.
  if (name === 'room') await page.waitForTimeout(20_000);
  const shot = await page.screenshot();
  const width = name === 'room' ? 1_000 : 390;
  await sharp(shot).resize({ width }).webp({ quality: 72 }).toFile(`${folder}/${name}-${suffix}.webp`);
}
