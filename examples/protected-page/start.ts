/**
 * `npm run example-protected-page`: a plain page behind nginx and a waiting room of Stampede, on http://127.0.0.1:4100 or the next
 * free port. The room opens two seconds after the start. All data is in a temporary folder until Ctrl+C.
 *
 *   MONGO_URL    your own MongoDB replica set, with the database name; by default one is started
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { nanoid } from 'nanoid';
import { byCommand, openSystem } from '../../commands/system.ts';
import { findNginx } from '../../ops/local/nginx/nginx.mjs';
import { freePortsFrom } from '../../ops/local/processes/port.mjs';
import { launch, stop, waitUntil } from '../../ops/local/processes/process.mjs';
import { startScratchSystem } from '../../ops/local/scratch-system.ts';
import { openSitePasses } from '../../sale/room/site-passes.ts';
import { createSale } from '../../sale/sale.ts';
import { openGatekeeper } from './gatekeeper.ts';

const [firstPort, hourMs, opensInMs] = [4_100, 3_600_000, 2_000];

const nginx = await findNginx(console.log);
if (!nginx) throw new Error('This example needs nginx: apt-get install nginx');
const [port = 0, gatekeeperPort = 0] = await freePortsFrom(firstPort, 2);
const siteUrl = `http://127.0.0.1:${port}`;
const shopKeys = `first:${randomBytes(32).toString('base64url')}`;
console.log('Starting MongoDB, Redis, Stampede and the page…');
const stampede = await startScratchSystem({
  ...(process.env.MONGO_URL && { mongoUrl: process.env.MONGO_URL }),
  servers: 1,
  env: { ROOM_PASS_KEYS: shopKeys },
});

// The room is that of a sale, which says where the site is and how many are inside at once. A shop makes it in the control room or by the API.
const { collections, close } = await openSystem(
  { ...stampede.env, BASE_URL: stampede.url },
  { logLevel: 'silent' },
);
const product = { _id: nanoid(), name: 'The drop', description: '', image: '', createdAt: new Date() };
await collections.products.insertOne(product);
const opensAt = new Date(Date.now() + opensInMs);
const sale = await createSale(
  collections,
  {
    items: [
      {
        productId: product._id,
        label: '',
        amount: 0,
        stock: 1,
        limitPerBuyer: null,
        oldAmount: null,
      },
    ],
    currency: 'EUR',
    limitPerBuyer: 1,
    mode: 'room',
    site: { url: `${siteUrl}/`, inside: 100 },
    opensAt,
    closesAt: new Date(opensAt.getTime() + 24 * hourMs),
  },
  byCommand('npm run example-protected-page'),
);
// The site gets its own keys; a shop reads them from GET /api/admin/sales/:id/site-keys.
const keys = openSitePasses(collections, { keys: shopKeys, sites: [] }).keysOf(`${siteUrl}/`) ?? '';
await close();
if ('noProduct' in sale) throw new Error('The product was deleted meanwhile');

const gatekeeper = openGatekeeper({ siteUrl, stampedeUrl: stampede.url, saleId: sale.id, keys });
gatekeeper.listen(gatekeeperPort, '127.0.0.1');
await once(gatekeeper, 'listening');

const folder = await mkdtemp(join(tmpdir(), 'protected-page-'));
const site = fileURLToPath(new URL('site', import.meta.url));
const template = await readFile(new URL('nginx.conf', import.meta.url), 'utf8');
const values: Record<string, string> = { folder, site, port: `${port}`, gatekeeperPort: `${gatekeeperPort}` };
const config = template.replace(/\$\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
await writeFile(join(folder, 'nginx.conf'), config);
// As root, nginx would run its workers as `nobody`, who cannot enter every folder.
const asRoot = process.getuid?.() === 0 ? ['-g', 'user root;'] : [];
const proxy = await launch('nginx', nginx, ['-p', folder, '-c', join(folder, 'nginx.conf'), ...asRoot], {
  logFile: join(folder, 'nginx.log'),
});
await waitUntil(() => fetch(siteUrl, { redirect: 'manual' }).catch(() => null), {
  deadlineMs: 10_000,
  what: 'nginx did not start',
  launched: proxy,
});

console.log(`
The page      ${siteUrl}
The room      ${stampede.url}/sales/${sale.id}
Open the page: it sends you to the room, and the room back, with a pass. docs/WAITING-ROOM.md explains it.

Ctrl+C ends it.`);

await Promise.race(['SIGINT', 'SIGTERM'].map((signal) => once(process, signal)));
await stop(proxy);
gatekeeper.close();
gatekeeper.closeAllConnections();
await stampede.close();
await rm(folder, { recursive: true, force: true });
