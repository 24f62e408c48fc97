import { z } from 'zod';
import { changeTheme, contrastFaults, readTheme } from '../../../catalogue/theme.ts';
import { isCurrency } from '../../../public/shared/money.js';
import { language } from '../../../sale/contract.ts';
import { line } from '../../http/inputs.ts';
import { byOf, type Route, route } from '../../http/route.ts';
import type { Shop } from '../../shop.ts';

const colour = z.string().regex(/^#[0-9a-f]{6}$/, 'expected a colour such as #d4321a, in lower case');
const colours = z
  .strictObject({ accent: colour, ground: colour, surface: colour, ink: colour })
  .superRefine((value, context) => {
    for (const { field, message } of contrastFaults(value))
      context.addIssue({ code: 'custom', path: [field], message });
  })
  .nullable();
const address = (expected: string) =>
  z
    .string()
    .max(500)
    .refine((text) => text === '' || /^\/(?!\/)[^\s"<>\\]*$/.test(text) || isHttps(text), expected);
const isHttps = (text: string) => URL.canParse(text) && new URL(text).protocol === 'https:';
const link = address('expected a path on this site, or an https address');
const ofLanguage = z.strictObject({ title: line(100), lead: line(300) });

const theme = z.strictObject({
  name: line(100).describe('Empty: the name in SHOP_NAME'),
  logo: address('expected a path on this site, e.g. /pictures/…, or an https address'),
  light: colours.describe('Null: the colours as they come'),
  dark: colours.describe('Null: the light ones on dark devices too'),
  texts: z
    .strictObject({ en: ofLanguage, de: ofLanguage, fr: ofLanguage })
    .describe('Of the list of sales; empty: the texts as they come'),
  links: z.strictObject({ imprint: link, privacy: link, terms: link }),
  languages: z
    .array(language)
    .min(1, 'expected at least one language')
    .max(3)
    .refine((list) => new Set(list).size === list.length, 'expected each language once'),
  currency: z.string().refine(isCurrency, 'expected the ISO 4217 code of a currency, e.g. EUR'),
});

export const themeRoutes = ({ collections }: Shop): Route[] => [
  route({
    method: 'get',
    path: '/api/admin/theme',
    access: 'viewer',
    summary: 'How the shop looks to its buyers',
    answer: [200, theme],
    handle: async () => ({ status: 200, body: await readTheme(collections) }),
  }),
  route({
    method: 'patch',
    path: '/api/admin/theme',
    access: 'admin',
    summary: 'Change how the shop looks; pages show it within two seconds',
    body: theme.partial(),
    answer: [200, theme],
    async handle({ body, ...call }) {
      const given = Object.fromEntries(Object.entries(body).filter(([, value]) => value !== undefined));
      return { status: 200, body: await changeTheme(collections, given, byOf(call)) };
    },
  }),
];
