import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { cacheFolder, ROOT } from '../../../ops/local/folders.mjs';
import { waitUntil } from '../../../ops/local/processes/process.mjs';
import type { Problem, SaleSnapshot } from '../../../sale/contract.ts';
import { startSystem, type TestSystem } from '../../support/harness.ts';
import { needs, versionBefore } from '../../support/needs.ts';
import { type BuyerLoad, expectNothingLost, startBuyers, waitForAccepted } from '../support/buyers.ts';

/** The version before runs side by side with this one, as in a rolling upgrade. */

let system: TestSystem;
afterEach(() => system?.close());

/** Its sources, inside this folder so that they find the installed packages. */
function sourcesOf(commit: string): string {
  const folder = join(cacheFolder(), 'versions', commit);
  if (!existsSync(join(folder, 'package.json'))) {
    mkdirSync(folder, { recursive: true });
    execFileSync('sh', ['-c', `git archive ${commit} | tar -x -C "${folder}"`], { cwd: ROOT });
  }
  return folder;
}

test(
  'buyers notice nothing of an upgrade from the version before, whose processes stop last',
  needs('git history'),
  async () => {
    const old = sourcesOf(versionBefore);
    const entries = { server: join(old, 'server/main.ts'), worker: join(old, 'worker/main.ts') };
    system = await startSystem({ entries, nginx: false });
    const [oldWorker] = system.workers;
    const oldServers = [...system.servers];
    const sale = await system.createSale({ stock: 100_000, limitPerBuyer: 500 });
    const at = oldServers.map(({ url }) => url);
    const load = startBuyers(system, sale, { at });
    await waitForAccepted(load, 100);

    // New servers beside the old worker, which leads.
    Object.assign(entries, { server: 'server/main.ts', worker: 'worker/main.ts' });
    at.push((await system.startServer()).url);
    await waitForAccepted(load, 150);
    await cancelsOne(load, sale);
    await everybodyIsSettled(load);

    // The new worker leads, beside servers of both versions.
    const newWorker = await system.startWorker();
    await oldWorker?.close();
    system.workers.splice(0, system.workers.length, newWorker);
    await waitForAccepted(load, 150);
    await cancelsOne(load, sale);
    await everybodyIsSettled(load);

    at.splice(0, oldServers.length);
    await Promise.all(oldServers.map((server) => server.close()));
    system.servers.splice(0, oldServers.length);
    await waitForAccepted(load, 100);
    await expectNothingLost(system, sale, load);
    expect([...load.statuses.keys()].filter((status) => status !== 202)).toEqual([]);
  },
);

test(
  'a server of the version before beside an open waiting room sells nothing to whoever was not called',
  needs('git history'),
  async () => {
    const entries = { server: 'server/main.ts', worker: 'worker/main.ts' };
    system = await startSystem({ entries, nginx: false });
    const asAdmin = { token: system.adminToken };
    const { product, price } = await system.createSale();
    const [opensAt, closesAt] = [1_800_000, 3_600_000].map((ms) => new Date(Date.now() + ms));
    const { body: sale } = await system.api<SaleSnapshot>('POST', '/api/sales', {
      ...asAdmin,
      body: { productId: product.id, price, stock: 2, opensAt, closesAt, mode: 'room' },
    });
    const [ann, bob] = [system.buyerToken(), system.buyerToken()];
    const room = `/api/sales/${sale.id}/places`;
    await system.api('POST', room, { token: ann });
    await system.changeSale(sale.id, { opensAt: new Date(Date.now() + 1_200) });

    entries.server = join(sourcesOf(versionBefore), 'server/main.ts');
    const { url: at } = await system.startServer();
    const pass = await waitUntil(
      async () => (await system.api('POST', `${room}/mine/pass`, { token: ann })).body.pass,
      { deadlineMs: 30_000, what: 'nobody is called' },
    );
    const { redis, gate } = system.store;
    const [theirs, ours] = [`gate:${sale.id}`, gate.keyOf(sale.id)];
    expect(theirs).not.toBe(ours);
    // It has no gate and makes its own, which knows no rooms: settlement refuses what it has accepted.
    const made = await system.buy(sale.id, bob, { at });
    expect(made.status).toBe(202);
    expect(await system.settled(made.body.orderId, bob)).toMatchObject({ reason: 'sold_out' });
    // A gate as this version writes it says in a field that it knows that nothing is left.
    await waitUntil(() => redis.copy(ours, theirs, 'REPLACE'), {
      ...{ deadlineMs: 10_000, what: 'this version has no gate' },
    });
    const { body: refused } = await system.buy(sale.id, bob, { at });
    expect((refused as unknown as Problem).type).toBe('/problems/sold-out');
    await redis.del(theirs);
    const { status, body } = await system.api('POST', `/api/sales/${sale.id}/purchases`, {
      token: ann,
      body: { quantity: 1 },
      headers: { 'Idempotency-Key': 'a-key', 'Room-Pass': pass },
    });
    expect([status, body.type]).toEqual([202, undefined]);
    expect((await system.settled(body.orderId, ann)).status).toBe('paid');
    await system.quiet();
    expect(await system.audit()).toMatchObject({ ok: true });
  },
);

/** A buyer of the newest settled order cancels it at every server, as after a retry. */
async function cancelsOne({ accepted }: BuyerLoad, sale: SaleSnapshot): Promise<void> {
  const { orderId, token } = accepted.at(-1) as BuyerLoad['accepted'][number];
  await system.settled(orderId, token);
  for (const { url } of system.servers) {
    const { status, body } = await system.api('DELETE', `/api/orders/${orderId}`, { token, at: url });
    expect({ status, body }).toMatchObject({ status: 200, body: { saleId: sale.id, status: 'cancelled' } });
  }
}

/** What was accepted so far has an order within the seconds that a takeover needs. */
async function everybodyIsSettled({ accepted }: BuyerLoad): Promise<void> {
  const ids = accepted.map(({ orderId }) => orderId);
  const { orders } = system.store.collections;
  await waitUntil(async () => (await orders.countDocuments({ _id: { $in: ids } })) === ids.length, {
    deadlineMs: 30_000,
    what: 'every accepted purchase is settled',
  });
}
