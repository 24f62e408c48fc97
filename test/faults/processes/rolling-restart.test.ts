import { io, type Socket } from 'socket.io-client';
import { afterEach, expect, test } from 'vitest';
import { waitUntil } from '../../../ops/local/processes/process.mjs';
import type { ClientToServerEvents, ServerToClientEvents, StockMessage } from '../../../sale/contract.ts';
import { startSystem, type TestSystem } from '../../support/harness.ts';
import { expectNothingLost, startBuyers, waitForAccepted } from '../support/buyers.ts';

/** Instances stop or restart under load, behind nginx. */

let system: TestSystem;
afterEach(() => system.close());

/** Opens a socket that watches the sale and keeps the newest stock. */
function openTab(saleId: string) {
  const socket: Socket<ServerToClientEvents, ClientToServerEvents> = io(system.url, {
    transports: ['websocket'],
    auth: { token: system.buyerToken() },
    reconnectionDelay: 50,
    reconnectionDelayMax: 300,
  });
  const tab = { connections: 0, newest: null as StockMessage | null, close: () => socket.disconnect() };
  socket.on('connect', () => {
    tab.connections += 1;
    socket.emit('watch', { saleId });
  });
  socket.on('stock', (message) => {
    if (message.stockVersion > (tab.newest?.stockVersion ?? -1)) tab.newest = message;
  });
  return tab;
}

test('tabs of a killed instance reconnect to the other one, and agree with the database', async () => {
  system = await startSystem({ env: { RECONCILE_INTERVAL_MS: '500' } });
  const sale = await system.createSale({ stock: 100_000, limitPerBuyer: 500 });
  const tabs = Array.from({ length: 20 }, () => openTab(sale.id));
  const load = startBuyers(system, sale, { at: [system.url] });
  await waitUntil(() => tabs.every(({ newest }) => newest), {
    deadlineMs: 20_000,
    what: 'each tab sees the stock',
  });

  const [first] = system.servers;
  process.kill(first?.pid ?? 0, 'SIGKILL');
  await waitUntil(() => tabs.some(({ connections }) => connections > 1), {
    deadlineMs: 20_000,
    what: 'tabs come back',
  });
  await waitForAccepted(load, 100);
  await expectNothingLost(system, sale, load);

  const { stock } = (await system.api('GET', `/api/sales/${sale.id}`)).body;
  await waitUntil(() => tabs.every(({ newest }) => newest?.stock === stock), {
    deadlineMs: 5_000,
    what: 'each tab shows what the database has',
  });
  for (const tab of tabs) tab.close();
});

const isServing = (name: string) =>
  waitUntil(async () => (await system.api('GET', '/api/sales')).headers.get('x-instance') === name, {
    deadlineMs: 20_000,
    what: `${name} answers behind nginx`,
  });

test('no request fails while servers and the worker restart one by one under load', async () => {
  system = await startSystem();
  const sale = await system.createSale({ stock: 100_000, limitPerBuyer: 500 });
  const load = startBuyers(system, sale, { at: [system.url] });
  await waitForAccepted(load, 100);
  for (const part of [...system.servers, ...system.workers]) {
    await system.restart(part);
    // A rolling restart continues when nginx uses the restarted instance again.
    if (part.name.startsWith('server')) await isServing(part.name);
    await waitForAccepted(load, 100);
  }
  await expectNothingLost(system, sale, load);
  expect([...load.statuses.keys()].filter((status) => status !== 202 && status !== 409)).toEqual([]);
});
