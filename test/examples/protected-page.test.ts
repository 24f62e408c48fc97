import { execFile } from 'node:child_process';
import { createHmac, hash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { nanoid } from 'nanoid';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { cookieOf, readKeys, verifyPass } from '../../clients/pass-verifier/pass-verifier.mjs';
import { ROOT } from '../../ops/local/folders.mjs';
import { waitUntil } from '../../ops/local/processes/process.mjs';
import type { Problem, RoomPass, Session } from '../../sale/contract.ts';
import { openSitePasses } from '../../sale/room/site-passes.ts';
import type { Collections } from '../../store/collections.ts';
import { type OpenBrowser, openBrowser } from '../support/browser.ts';
import { startExample } from '../support/example.ts';

/** The page of examples/protected-page behind a real nginx, with a Stampede of its own. */

const run = promisify(execFile);

let example: Awaited<ReturnType<typeof startExample>>;
let [siteUrl, stampedeUrl, saleId] = ['', '', ''];
let browser: OpenBrowser;

beforeAll(async () => {
  example = await startExample('examples/protected-page/start.ts');
  const { output } = example;
  browser = await openBrowser();
  [, siteUrl = ''] = /^The page +(\S+)$/m.exec(output) ?? [];
  [, stampedeUrl = '', saleId = ''] = /^The room +(\S+)\/sales\/(\S+)$/m.exec(output) ?? [];
  expect(saleId, output).not.toBe('');
});
afterAll(async () => {
  await example?.close();
  await browser.close();
});

const get = (path: string, cookie = '') =>
  fetch(siteUrl + path, { redirect: 'manual', headers: { Cookie: cookie } });
const ask = async (method: string, path: string, token: string) => {
  const response = await fetch(`${stampedeUrl}/api/${path}`, {
    method,
    headers: { Authorization: `Bearer ${token}` },
  });
  const body = (await response.json()) as Partial<RoomPass> & Pick<Problem, 'errors'>;
  return { status: response.status, body };
};
async function signUp(): Promise<Session> {
  const account = { email: `${nanoid().toLowerCase()}@example.com`, password: nanoid(), name: 'A buyer' };
  const response = await fetch(`${stampedeUrl}/api/users`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(account),
  });
  expect(response.status).toBe(201);
  return (await response.json()) as Session;
}
const roomOf = (path: string) =>
  `${stampedeUrl}/sales/${saleId}?${new URLSearchParams({ return: siteUrl + path })}`;

test('a page behind nginx opens only with a pass, which whoever is called gets for it alone', async () => {
  const { token } = await signUp();
  expect((await ask('POST', `sales/${saleId}/places`, token)).status).toBe(200);
  const without = await get('/index.html?size=42&room_pass=');
  expect([without.status, without.headers.get('location')]).toEqual([
    302,
    roomOf('/index.html?size=42&room_pass='),
  ]);

  const passFor = (returnTo: string) =>
    ask('POST', `sales/${saleId}/places/mine/pass?${new URLSearchParams({ returnTo })}`, token);
  const elsewhere = [
    'https://evil.example/',
    `${siteUrl}.evil.example/`,
    siteUrl.replace('//', '//user@'),
    `${siteUrl}@evil.example/`,
    'javascript:alert(1)',
    '//evil.example',
    '/',
  ];
  for (const address of elsewhere) {
    const { status, body } = await passFor(address);
    expect([address, status, body.errors?.[0]?.field]).toEqual([address, 400, 'returnTo']);
  }
  const { returnUrl = '' } = await waitUntil(
    async () => {
      const { status, body } = await passFor(`${siteUrl}/index.html?size=42&room_pass=old`);
      return status === 200 ? body : null;
    },
    { deadlineMs: 30_000, what: 'nobody is called' },
  );
  expect(returnUrl).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/index\.html\?size=42&room_pass=1\.[0-9a-f]{16}\./);
  const pass = new URL(returnUrl).searchParams.get('room_pass') ?? '';
  const inside = await get(`/index.html?room_pass=${pass}`);
  expect([inside.status, await inside.text()]).toEqual([200, expect.stringContaining('You are in')]);
  expect(inside.headers.get('cache-control')).toBe('private, no-store');
  const [cookie = ''] = inside.headers.getSetCookie()[0]?.split(';') ?? [];
  expect((await get('/index.html', `other=1; ${cookie}`)).status).toBe(200);

  const parts = pass.split('.');
  const changed = (n: number, part: string) =>
    parts.map((one, index) => (index === n ? part : one)).join('.');
  const wrong = {
    forged: changed(5, '0'.repeat(64)),
    'with another end': changed(4, String(Number(parts[4]) + 60)),
    'of another sale': changed(2, 'another'),
    'of another person': changed(3, 'somebody'),
    'of an unknown key': changed(1, 'second'),
    cut: pass.slice(0, -1),
  };
  for (const [what, text] of Object.entries(wrong)) {
    const [inUrl, inCookie] = [await get(`/?room_pass=${text}`), await get('/', `room_pass=${text}`)];
    expect([what, inUrl.status, inCookie.status]).toEqual([what, 302, 302]);
    expect(inCookie.headers.get('location')).toBe(roomOf('/'));
  }
  // The gatekeeper is not reached from outside, and what is not an address does not break it.
  expect((await get('/room-pass')).status).toBe(404);
  expect((await get('//evil.example/%2e%2e')).headers.get('location')).toContain(roomOf('').split('?')[0]);
}, 60_000);

test('a visitor is sent to the room, and back to where they were when they are called', async () => {
  const page = await browser.page({ viewport: { width: 390, height: 844 } });
  const session = await signUp();
  await page.addInitScript(
    `if (location.origin === ${JSON.stringify(stampedeUrl)}) localStorage.setItem('stampede.session', ${JSON.stringify(JSON.stringify(session))})`,
  );
  await page.goto(`${siteUrl}/index.html?size=42`);
  await page.getByRole('button', { name: 'Take a place' }).click();
  await page.getByRole('button', { name: 'Come in' }).click();
  await page.getByRole('heading', { name: 'You are in' }).waitFor();
  expect(page.url()).toContain('size=42');
  await page.goto(`${siteUrl}/`);
  await page.getByRole('heading', { name: 'You are in' }).waitFor();

  // The site does not take the pass: nobody is sent around in circles.
  await page.context().clearCookies({ name: 'room_pass' });
  await page.goto(`${siteUrl}/`);
  await page.getByTestId('room-onward').waitFor();
  expect(await page.getByTestId('room-onward').textContent()).toBe(`Go on to ${new URL(siteUrl).host}`);
  await page.getByTestId('room-onward').click();
  await page.getByRole('heading', { name: 'You are in' }).waitFor();
}, 60_000);

test('passes verify by any known key until they end, here and by the Python of the documentation', async () => {
  const [old, fresh] = [`old:${'o'.repeat(40)}`, `fresh:${'ä'.repeat(40)}`];
  const secrets = { findOne: async () => ({ key: 'aGVsbG8' }) };
  const issue = async (keys: string, until: Date) => {
    const passes = openSitePasses({ secrets } as unknown as Collections, {
      keys,
      sites: ['https://shop.example/drop/'],
    });
    expect(passes.siteOf('https://shop.example/dropped')).toBeNull();
    const site = passes.siteOf('https://shop.example/drop/1?a=%20b#c');
    const ofAnn = { saleId: 'sale-1', personId: 'ann@example.com', until };
    const address = await passes.addressFor(site as URL, ofAnn);
    expect(address).toMatch(/^https:\/\/shop\.example\/drop\/1\?a=%20b&room_pass=.*#c$/);
    expect(address).not.toContain('ann');
    return new URL(address).searchParams.get('room_pass') ?? '';
  };
  const now = new Date('2026-11-26T10:00:00Z');
  const until = new Date('2026-11-26T10:03:00Z');
  const [byOld, byFresh] = [await issue(`${old},${fresh}`, until), await issue(`${fresh},${old}`, until)];
  expect(byFresh.split('.')[3]).toBe(byOld.split('.')[3]);
  const keys = readKeys(`${fresh},${old}`);
  const verify = (pass: string, saleId = 'sale-1', at = now) => verifyPass(pass, { saleId, keys, now: at });
  expect(verify(byOld)).toEqual({ holder: byOld.split('.')[3], until });
  expect(verify(byFresh)?.until).toEqual(until);
  expect(verify(byOld, 'sale-2')).toBeNull();
  expect(verify(byOld, 'sale-1', until)).toBeNull();
  expect(verifyPass(byOld, { saleId: 'sale-1', keys: readKeys(fresh), now })).toBeNull();
  for (const nothing of [undefined, null, '', '.....', `${byOld}.`])
    expect(verify(nothing as string)).toBeNull();
  // Each site has a key of its own, beside which those of before are still taken.
  const sale = openSitePasses({ secrets } as unknown as Collections, { keys: `${fresh},${old}`, sites: [] });
  const [shop, other] = ['https://shop.example/drop', 'https://other.example/'];
  expect(sale.siteOf('https://shop.example/drop/1', shop)?.href).toBe('https://shop.example/drop/1');
  for (const address of ['https://shop.example/dropped', other, 'https://shop.example/'])
    expect(sale.siteOf(address, shop)).toBeNull();
  const ofShop = { saleId: 'sale-1', personId: 'ann@example.com', until, siteUrl: shop };
  const own = new URL(await sale.addressFor(new URL(shop), ofShop)).searchParams.get('room_pass');
  const verifyAt = (keys: string | null) =>
    verifyPass(own, { saleId: 'sale-1', keys: readKeys(keys ?? ''), now });
  expect(verifyAt(sale.keysOf(shop))?.holder).toBe(byOld.split('.')[3]);
  for (const keys of [sale.keysOf(other), `${fresh},${old}`]) expect(verifyAt(keys)).toBeNull();
  const both = readKeys(`${sale.keysOf(shop)},${old}`);
  for (const pass of [own, byOld])
    expect(verifyPass(pass, { saleId: 'sale-1', keys: both, now })).not.toBeNull();
  // As the documentation says it.
  const secret = createHmac('sha256', 'ä'.repeat(40)).update(`room-site\n${shop}`).digest('hex');
  expect(sale.keysOf(shop)?.split(',')[0]).toBe(`${hash('sha256', secret).slice(0, 16)}:${secret}`);
  expect(
    openSitePasses({ secrets } as unknown as Collections, { keys: '', sites: [] }).keysOf(shop),
  ).toBeNull();

  expect(() => readKeys('old:short')).toThrow('32 characters');
  expect(cookieOf(byOld, { holder: '', until }, { isSecure: true })).toMatch(
    /HttpOnly; SameSite=Lax; Secure$/,
  );
  // A key that is known but did not sign it.
  const signed = byOld.slice(0, byOld.lastIndexOf('.'));
  const forged = `${signed}.${createHmac('sha256', 'f'.repeat(40)).update(signed).digest('hex')}`;
  expect(verify(forged)).toBeNull();

  const [, python = ''] =
    /```python\n([^`]*)```/.exec(await readFile(join(ROOT, 'docs/WAITING-ROOM.md'), 'utf8')) ?? [];
  const later = new Date(Date.now() + 60_000);
  const [living, ended] = [await issue(old, later), await issue(old, new Date(Date.now() - 60_000))];
  const texts = [living, ended, forged, living.replace('sale-1', 'sale-2'), '', 'a.b', byFresh];
  const script = `${python}
import json, sys
keys = {'old': 'o' * 40}
print(json.dumps([verify_pass(text, 'sale-1', keys) for text in json.loads(sys.argv[1])]))`;
  const { stdout } = await run('python3', ['-c', script, JSON.stringify(texts)]);
  expect(JSON.parse(stdout)).toEqual([living.split('.')[3], null, null, null, null, null, null]);
});
