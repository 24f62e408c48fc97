import { afterAll, beforeAll, expect, test } from 'vitest';
import { contrast, contrastFaults, plainTheme, styleOf } from '../../catalogue/theme.ts';
import { waitUntil } from '../../ops/local/processes/process.mjs';
import { type OpenBrowser, openBrowser } from '../support/browser.ts';
import { startSystem, type TestSystem } from '../support/harness.ts';

/* The shop's own look: set in the control room, and shown by every instance without a restart. */

let system: TestSystem;
let browser: OpenBrowser;
beforeAll(async () => {
  [system, browser] = await Promise.all([startSystem({ workers: 0 }), openBrowser()]);
});
afterAll(async () => {
  await browser.close();
  await system.close();
});

const forest = { accent: '#1b5e20', ground: '#f4f7f2', surface: '#ffffff', ink: '#10180f' };
const change = (body: object, token = system.adminToken) =>
  system.api('PATCH', '/api/admin/theme', { token, body });
const page = async (path = '/', language = 'en') =>
  (await system.api<string>('GET', path, { headers: { 'Accept-Language': language } })).body;
const shows = (text: string, language?: string) =>
  waitUntil(async () => ((await page('/', language)).includes(text) ? true : null), {
    deadlineMs: 5_000,
    what: `no page shows ${text}`,
  });

test('a contrast is the one of WCAG', () => {
  expect(contrast('#000000', '#ffffff')).toBeCloseTo(21);
  expect(contrast('#777777', '#ffffff')).toBeCloseTo(4.48, 2);
  expect(contrastFaults(forest)).toEqual([]);
  expect(styleOf(plainTheme)).toBe('');
  // Light colours alone are worn on dark devices too, with what reads on them.
  expect(styleOf({ light: forest, dark: null })).not.toContain('--good:#6fd39c');
  expect(styleOf({ light: null, dark: { ...forest, ground: '#0f1013', surface: '#191b20' } })).toContain(
    '--good:#6fd39c',
  );
  const grey = { accent: '#000000', ground: '#808080', surface: '#ffffff', ink: '#000000' };
  expect(contrastFaults(grey).map(({ field }) => field)).toContain('ground');
});

test('colours that are hard to read are refused with the reason', async () => {
  const { status, body } = await change({ light: { ...forest, accent: '#ffcc00' } });
  expect(status).toBe(400);
  expect(body.errors).toEqual([
    {
      field: 'light.accent',
      message: expect.stringMatching(
        /^expected a contrast of at least 4\.5 \(WCAG AA\), got 1\.\d+: #ffcc00 on #/,
      ),
    },
  ]);
  expect((await change({ logo: 'javascript:alert(1)' })).status).toBe(400);
  expect((await change({ links: { imprint: '//elsewhere', privacy: '', terms: '' } })).status).toBe(400);
  expect((await change({ name: 'x' }, system.tokenOf('desk'))).status).toBe(403);
});

test('a name, links, texts and languages are live, and the change is in the staff log', async () => {
  const links = { imprint: 'https://example.com/imprint', privacy: '/privacy', terms: '' };
  const texts = { ...plainTheme.texts, de: { title: 'Heute im Wald', lead: '<i>Nur heute</i>' } };
  await change({ name: 'Waldladen', links, texts, languages: ['de', 'en'], light: forest });
  await shows('Waldladen');
  const german = await page('/', 'de');
  expect(german).toContain('<h1>Heute im Wald</h1>');
  expect(german).toContain('&lt;i&gt;Nur heute&lt;/i&gt;');
  expect(german).toContain('<a href="https://example.com/imprint">Impressum</a>');
  expect(german).not.toContain('>AGB<');
  // French is not offered any more: its reader gets the next preferred language, or else the first offered.
  expect(await page('/?unseen', 'fr')).toContain('<html lang="de"');
  expect(await page('/?unseen', 'fr,en;q=0.5')).toContain('<html lang="en"');
  expect(await page('/?unseen', 'es')).toContain('<html lang="de"');
  // No worker runs that would append it to the log.
  const entry = await system.store.collections.newStaffEntries.findOne({ action: 'theme.changed' });
  expect(JSON.parse(entry?.after ?? '{}')).toMatchObject({ name: 'Waldladen', languages: ['de', 'en'] });
  // What is not named in a change stays.
  const { body } = await change({ currency: 'CHF' });
  expect(body).toMatchObject({ name: 'Waldladen', currency: 'CHF', links });
});

test('an admin changes the colours in the control room, and a page wears them', async () => {
  const room = await browser.page();
  const session = {
    user: { id: 'test-admin', role: 'admin', name: 'Ada', email: 'a@example.com' },
    token: system.adminToken,
  };
  await room.addInitScript(
    `localStorage.setItem('stampede.session', ${JSON.stringify(JSON.stringify(session))})`,
  );
  await room.goto(`${system.url}/admin#shop`);
  await room.getByTestId('change-theme').click();
  const form = room.getByTestId('form');
  await form.locator('[name="light.accent"]').fill('#ffcc00');
  await form.getByRole('button', { name: 'Save' }).click();
  await form.getByText('Buttons in this colour would be hard to read').waitFor();
  await form.locator('[name="light.accent"]').fill('#0b3d91');
  await form.getByRole('button', { name: 'Save' }).click();
  await room.getByTestId('theme').getByText('#0b3d91').waitFor();
  await shows('--hot:#0b3d91');
  const shop = await browser.page();
  const refused: string[] = [];
  shop.on(
    'console',
    (message) => message.text().includes('Content Security') && refused.push(message.text()),
  );
  await shop.goto(system.url);
  const colour = `getComputedStyle(document.documentElement).getPropertyValue('--hot')`;
  expect(await shop.evaluate(colour)).toBe('#0b3d91');
  expect(refused).toEqual([]);
});
