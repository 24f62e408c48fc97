import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { logStaffAction } from '../../accounts/staff-log.ts';
import type { AccountRole } from '../../sale/contract.ts';
import { type OpenBrowser, objections, openBrowser } from '../support/browser.ts';
import { startSystem, type TestSystem } from '../support/harness.ts';

let system: TestSystem;
let browser: OpenBrowser;
beforeAll(async () => {
  [system, browser] = await Promise.all([
    startSystem({ servers: 1, workers: 1, nginx: false }),
    openBrowser(),
  ]);
});
afterAll(async () => {
  await browser.close();
  await system.close();
});

/** Opens the control room with a token of this role. */
async function enter(role: AccountRole, hash: string, width = 1_440): Promise<Page> {
  const user = { id: `test-${role}`, role, name: 'Ada', email: `${role}@example.com` };
  const as = { user, token: system.tokenOf(role) };
  const page = await browser.page({ as, viewport: { width, height: 900 }, reducedMotion: 'reduce' });
  await page.goto(`${system.url}/admin${hash}`);
  return page;
}

async function look(page: Page, name: string): Promise<void> {
  for (const width of [390, 1_440]) {
    await page.setViewportSize({ width, height: 900 });
    expect(await objections(page), `${name} at ${width}`).toEqual([]);
    expect(await page.evaluate('document.documentElement.scrollWidth'), name).toBe(width);
  }
}

test('an admin invites somebody, who joins, gets another role and is removed', async () => {
  const page = await enter('admin', '#staff');
  await page.getByTestId('invite').click();
  const form = page.getByTestId('form');
  await form.getByLabel('E-mail').fill('dee@example.com');
  await form.getByLabel('Role').selectOption('desk');
  await form.getByRole('button', { name: 'Save' }).click();
  const link = (await page.getByTestId('secret').textContent()) ?? '';
  await page.getByTestId('invitations').getByText('dee@example.com').waitFor();
  await look(page, 'staff');

  const theirs = await browser.page({ viewport: { width: 1_440, height: 900 } });
  // The tab shows the control room already, so that the link changes only the part behind the #.
  await theirs.goto(`${system.url}/admin`);
  await theirs.goto(link);
  const join = theirs.getByTestId('join');
  await join.getByText('dee@example.com · Desk').waitFor();
  expect(theirs.url()).toBe(`${system.url}/admin`);
  await join.getByLabel('Name').fill('Dee');
  await join.getByLabel('Password').fill('a good password');
  await look(theirs, 'join');
  await join.getByRole('button', { name: 'Join' }).click();
  const tabs = theirs.getByRole('navigation', { name: 'Control room' });
  await tabs.getByRole('link', { name: 'Orders' }).waitFor();
  expect(await tabs.getByRole('link', { name: 'Staff' }).isVisible()).toBe(false);

  await page.reload();
  await page.getByRole('button', { name: 'Change the role of dee@example.com' }).click();
  await form.getByLabel('Role').selectOption('viewer');
  await look(page, 'change-role');
  await form.getByRole('button', { name: 'Save' }).click();
  await page.getByTestId('toast').filter({ hasText: 'Dee signs in again' }).waitFor();
  await theirs.getByText('Sign in as staff of the shop.').waitFor();
  page.on('dialog', (dialog) => dialog.accept());
  await page.getByRole('button', { name: 'Remove dee@example.com' }).click();
  await page.getByTestId('toast').filter({ hasText: 'Dee is no longer on the staff' }).waitFor();
});

test('an admin makes a key, which is shown once, and revokes it', async () => {
  const page = await enter('admin', '#keys');
  await page.getByTestId('new-key').click();
  const form = page.getByTestId('form');
  await form.locator('[name=name]').fill('The till');
  await form.getByRole('button', { name: 'Save' }).click();
  await form.getByRole('alert').filter({ hasText: 'Choose at least one thing that it may do.' }).waitFor();
  await form.getByLabel('Read orders').check();
  await look(page, 'new-key');
  await form.getByRole('button', { name: 'Save' }).click();
  const key = (await page.getByTestId('secret').textContent()) ?? '';
  expect((await system.api('GET', '/api/admin/orders', { token: key })).status).toBe(200);
  await look(page, 'keys');
  page.on('dialog', (dialog) => dialog.accept());
  await page.getByRole('button', { name: 'Revoke the key of The till' }).click();
  await page.getByText('No keys.').waitFor();
  expect((await system.api('GET', '/api/admin/orders', { token: key })).status).toBe(401);
});

test('the log is searched and shows what changed', async () => {
  const soon = { opensAt: new Date(Date.now() + 3_600_000), closesAt: new Date(Date.now() + 7_200_000) };
  const sale = await system.createSale({ name: 'A lamp', sizes: { S: 2, M: 3 }, limitPerBuyer: 2, ...soon });
  await system.changeSale(sale.id, { paused: true });
  const items = sale.items.map(({ product, label, price, stock }, n) => {
    return { productId: product.id, label, stock, price: { ...price, amount: price.amount + n * 100 } };
  });
  await system.changeSale(sale.id, { items, cancelWindowSeconds: null });
  const unknown = { someday: { depth: [7] }, phases: 'of another shape' };
  await logStaffAction(system.store.collections, {
    ...{ actor: { kind: 'command', id: 'ops', role: null }, from: null, requestId: null },
    ...{ action: 'sale.foretold', subject: { kind: 'sale', id: sale.id }, after: unknown },
  });
  const page = await enter('admin', '#log');
  const log = page.getByTestId('staff-log');
  await log.getByText('Paused no → yes').waitFor();
  const rowOf = async (action: string) => {
    const rows = log.locator('tbody tr', { hasText: sale.id }).filter({ hasText: action });
    return (await rows.first().locator('.changes li').allTextContents()).join(' ');
  };
  const product = sale.product.id;
  expect(await rowOf('sale.created')).toContain(
    `Item S: €49.00 each, 2 units, Product ${product}; M: €49.00 each, 3 units, Product ${product}`,
  );
  expect(await rowOf('sale.created')).toMatch(/Limit for each person 2 .*Opens \d+ \w+ \d{4}/);
  const changed = await rowOf('sale.changed');
  expect(changed).toContain(
    `Item M: €49.00 each, 3 units, Product ${product} → M: €50.00 each, 3 units, Product ${product}`,
  );
  expect(changed).toContain('Buyers can cancel – → never, only the shop cancels');
  // What has no words of its own, or another shape, is shown as it was logged.
  expect(await rowOf('sale.foretold')).toBe('someday depth: 7 Who may buy when of another shape');
  await look(page, 'log');
  await page.getByLabel('Action').fill('product');
  await page.getByRole('button', { name: 'Search' }).click();
  await log.getByText('product.created').first().waitFor();
  await log.getByText('sale.paused').waitFor({ state: 'detached' });
  await page.getByLabel('Action').fill('A b');
  await page.getByRole('button', { name: 'Search' }).click();
  await page.getByText('Expected an action such as sale.paused').waitFor();
});

test('each role sees what it may do', async () => {
  const sale = await system.createSale();
  for (const role of ['viewer', 'desk', 'admin'] as const) {
    const page = await enter(role, `#sale/${sale.id}`);
    await page.getByTestId('sale-left').waitFor();
    const sees = (name: string) => page.getByRole('link', { name, exact: true }).isVisible();
    expect([await sees('Orders'), await sees('Staff'), await page.getByTestId('pause').isVisible()]).toEqual([
      role !== 'viewer',
      role === 'admin',
      role === 'admin',
    ]);
  }
});
