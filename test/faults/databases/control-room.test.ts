import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { LiveFigures } from '../../../insight/contract.ts';
import { waitUntil } from '../../../ops/local/processes/process.mjs';
import { type OpenBrowser, openBrowser } from '../../support/browser.ts';
import { startSystem, type TestSystem } from '../../support/harness.ts';

/** The control room while Redis or MongoDB is killed or frozen. */

/** Within this the figures have to be marked, on a machine that does other things too. */
const markedWithinMs = 6_000;

let system: TestSystem;
let browser: OpenBrowser;
let page: Page;

beforeAll(async () => {
  [system, browser] = await Promise.all([startSystem({ ownMongo: true }), openBrowser()]);
});
afterAll(async () => {
  for (const name of ['redis', 'mongo']) signal(name, 'SIGCONT');
  await browser.close();
  await system.close();
});

const pidOf = (name: string) => system.processes().find((one) => one.name === name)?.pid ?? 0;
const signal = (name: string, what: NodeJS.Signals) => process.kill(pidOf(name), what);

/** The answer of the control room's figures, and how long it took. */
async function live() {
  const startedAt = performance.now();
  const { status, body } = await system.api<LiveFigures>('GET', '/api/admin/live', {
    token: system.adminToken,
    // Each server has read them itself.
    at: system.servers[0]?.url ?? '',
  });
  return { status, body, ms: performance.now() - startedAt };
}

async function isAway(what: string): Promise<LiveFigures> {
  return await waitUntil(
    async () => {
      const { status, body, ms } = await live();
      expect([status, ms < 3_000]).toEqual([200, true]);
      return body.away.some((one) => one.what === what) ? body : null;
    },
    { deadlineMs: markedWithinMs, what: `${what} is said to be away` },
  );
}

const isWell = () =>
  waitUntil(async () => (await live()).body.away.length === 0, { deadlineMs: 30_000, what: 'all is well' });

test('without a database the figures are answered in time, with what is away and when each was read', async () => {
  for (const [name, what, part] of [
    ['redis', 'redis', 'queue'],
    ['mongo', 'mongodb', 'sales'],
  ] as const) {
    await isWell();
    const { body: before } = await live();
    signal(name, 'SIGSTOP');
    const meanwhile = await isAway(what);
    expect(meanwhile.away.map((one) => one.what)).toEqual([what]);
    expect(Date.parse(meanwhile.away[0]?.since ?? '')).toBeGreaterThan(Date.parse(before.serverTime) - 3_000);
    // What it needs is as it was read last; the rest goes on.
    const other = part === 'queue' ? 'sales' : 'queue';
    const { body: later } = await live();
    expect(later.readAt[part]).toBe(meanwhile.readAt[part]);
    expect(Date.parse(later.readAt[other] ?? '')).toBeGreaterThan(Date.parse(meanwhile.readAt[part] ?? ''));
    signal(name, 'SIGCONT');
  }
  await isWell();
});

test('presses that failed while Redis was away are in the success rate when it is back', async () => {
  const sale = await system.createSale({ stock: 100, limitPerBuyer: 1 });
  for (let n = 0; n < 10; n++) expect((await system.buy(sale.id, system.buyerToken())).status).toBe(202);
  signal('redis', 'SIGKILL');
  await system.redis().ended;
  const statuses = await Promise.all(
    Array.from({ length: 10 }, async () => (await system.buy(sale.id, system.buyerToken())).status),
  );
  expect(new Set(statuses)).toEqual(new Set([503]));
  await system.restartRedis();
  const figures = await waitUntil(
    async () => {
      const { body } = await live();
      const faults = body.seconds.reduce((sum, { answers }) => sum + (answers.fault ?? 0), 0);
      return faults >= 10 ? body : null;
    },
    { deadlineMs: 20_000, what: 'the faults are counted' },
  );
  // It is of the last ten seconds, in which nobody pressed when Redis took longer to restart.
  expect(figures.figures?.successRate ?? 0).toBeLessThanOrEqual(0.5);
  expect(figures.seconds.reduce((sum, { faults }) => sum + faults.servers, 0)).toBeGreaterThanOrEqual(10);
});

test('the page marks what is stale, and names what is away, what buyers get and where to read on', async () => {
  page = await browser.page({ viewport: { width: 1_280, height: 900 } });
  const user = { id: 'test-admin', role: 'admin', name: 'Ada', email: 'admin@example.com' };
  const session = JSON.stringify(JSON.stringify({ user, token: system.adminToken }));
  await page.addInitScript(`localStorage.setItem('stampede.session', ${session})`);
  await page.goto(`${system.url}/admin`);
  const incidents = page.getByTestId('incidents').getByRole('listitem');
  const stale = page.locator('[data-stale]');
  const isFresh = async () => {
    await page.locator('.tile').filter({ hasText: 's old' }).first().waitFor();
    await waitUntil(async () => (await incidents.count()) + (await stale.count()) === 0, {
      deadlineMs: 30_000,
      what: 'the page is fresh',
    });
  };
  for (const [name, what, marks] of [
    ['redis', 'Redis does not answer', ['Queue depth', 'Consumer lag', 'Settled within']],
    // What is settled, and what an audit finds, is in MongoDB.
    ['mongo', 'MongoDB does not answer', ['Consumer lag', 'Settled within']],
  ] as const) {
    await isFresh();
    signal(name, 'SIGSTOP');
    const isStale = (mark: string) =>
      page
        .locator('.tile[data-stale]')
        .filter({ hasText: mark })
        .filter({ hasText: 'stale: ' })
        .waitFor({ timeout: markedWithinMs });
    await Promise.all([
      ...marks.map(isStale),
      page.locator('.audit-status[data-state=stale]').waitFor({ timeout: markedWithinMs }),
    ]);
    const incident = incidents.filter({ hasText: what });
    await incident.filter({ hasText: /since .*Buyers: /s }).waitFor({ timeout: markedWithinMs });
    await page.getByRole('link', { name: 'What to do' }).click();
    await page.getByTestId('runbook').filter({ hasText: 'Look:' }).waitFor();
    // The banner of the storefront speaks to buyers.
    expect(await page.getByTestId('banner').isVisible()).toBe(false);
    signal(name, 'SIGCONT');
    await page.goto(`${system.url}/admin`);
  }
  await isFresh();
  const [worker] = system.workers;
  process.kill(worker?.pid ?? 0, 'SIGKILL');
  await incidents.filter({ hasText: /No worker is alive.*since /s }).waitFor();
  await page.locator('[data-testid=processes] s').filter({ hasText: 'worker-worker-1' }).waitFor();
});
