import { io, type Socket } from 'socket.io-client';
import { afterEach, expect, test } from 'vitest';
import { waitUntil } from '../../ops/local/processes/process.mjs';
import type { ClientToServerEvents, ServerToClientEvents, StockMessage } from '../../sale/contract.ts';
import { startSystem, type TestSystem } from '../support/harness.ts';
import { accepts, expectNothingLost, openAudience } from './support/buyers.ts';

/** Instances go away while people buy and watch, behind nginx. */

let system: TestSystem;
afterEach(() => system.close());

/** A tab: watches, and remembers the newest stock it was told of. */
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

test('an instance dies: its tabs go on at the other one, and all agree with the database', async () => {
  system = await startSystem({ env: { RECONCILE_INTERVAL_MS: '500' } });
  const sale = await system.createSale({ stock: 100_000, limitPerBuyer: 500 });
  const tabs = Array.from({ length: 20 }, () => openTab(sale.id));
  const crowd = openAudience(system, sale, { at: [system.url] });
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
  await accepts(crowd, 100);
  await expectNothingLost(system, sale, crowd);

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

test('servers and the worker restart one by one under load: no request fails', async () => {
  system = await startSystem();
  const sale = await system.createSale({ stock: 100_000, limitPerBuyer: 500 });
  const crowd = openAudience(system, sale, { at: [system.url] });
  await accepts(crowd, 100);
  for (const part of [...system.servers, ...system.workers]) {
    await system.restart(part);
    // As whoever rolls should: on with the next one when nginx uses this one again.
    if (part.name.startsWith('server')) await isServing(part.name);
    await accepts(crowd, 100);
  }
  await expectNothingLost(system, sale, crowd);
  expect([...crowd.statuses.keys()].filter((status) => status !== 202 && status !== 409)).toEqual([]);
});
