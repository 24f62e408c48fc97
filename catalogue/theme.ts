import { appendStaffEntry, type By } from '../accounts/staff-log.ts';
import { mongoClock } from '../runtime/clock.ts';
import { transact } from '../runtime/databases/transact.ts';
import type { Language } from '../sale/contract.ts';
import type { Collections } from '../store/collections.ts';

/** How the shop looks to its buyers. What is empty or null is as we made it. */
export interface Theme {
  /** Empty for the one in SHOP_NAME. */
  name: string;
  /** A path on this site, or an https address. */
  logo: string;
  light: Colours | null;
  /** Null: dark devices show the light colours too, when there are any. */
  dark: Colours | null;
  /** The title of the list of sales, and what is said below it. */
  texts: Record<Language, { title: string; lead: string }>;
  links: Record<'imprint' | 'privacy' | 'terms', string>;
  /** Of the pages, at least one; a reader of none of them gets the first. */
  languages: Language[];
  /** In which a new sale's form begins. */
  currency: string;
}

/** The design tokens of a theme, each as `#rrggbb`; all other colours are mixed from them. */
export interface Colours {
  /** Of buttons and of what is on now. */
  accent: string;
  ground: string;
  /** Of cards. */
  surface: string;
  ink: string;
}

const noText = { title: '', lead: '' };
export const plainTheme: Theme = {
  name: '',
  logo: '',
  light: null,
  dark: null,
  texts: { en: noText, de: noText, fr: noText },
  links: { imprint: '', privacy: '', terms: '' },
  languages: ['en', 'de', 'fr'],
  currency: 'EUR',
};

const recordId = 'theme';

export async function readTheme({ settings }: Collections): Promise<Theme> {
  const record = await settings.findOne({ _id: recordId });
  return { ...plainTheme, ...record?.theme };
}

/** Changes the theme, which the pages show within two seconds. @returns all of it. */
export async function changeTheme(collections: Collections, change: Partial<Theme>, by: By): Promise<Theme> {
  const { settings, connection } = collections;
  return await transact(connection, async (session) => {
    const record = await settings.findOne({ _id: recordId }, { session });
    const before = { ...plainTheme, ...record?.theme };
    const theme = { ...before, ...change };
    const update = { $set: { theme, updatedAt: mongoClock.now() } };
    await settings.updateOne({ _id: recordId }, update, { session, upsert: true });
    await appendStaffEntry(collections, session, {
      ...by,
      action: 'theme.changed',
      subject: { kind: 'theme', id: recordId },
      before,
      after: theme,
    });
    return theme;
  });
}

/** Contrast that WCAG 2 asks for at level AA of text of usual size. */
const leastContrast = 4.5;

/** Our colours of good and of pending, on light and on dark ground: see public/style/theme.css. */
const onLight = { good: '#1c7146', 'good-soft': '#dff1e6', wait: '#80570a', 'wait-soft': '#f8ecd0' };
const onDark = { good: '#6fd39c', 'good-soft': '#143325', wait: '#f0c265', 'wait-soft': '#362a12' };
const shadowOnLight = '0 1px 2px rgb(40 30 10 / 5%), 0 12px 32px -12px rgb(40 30 10 / 14%)';

/** Which of the two sets reads better. */
function statesOn({ ground, surface }: Colours): Record<string, string> {
  const least = ({ good, wait }: typeof onLight) =>
    Math.min(...[good, wait].flatMap((text) => [contrast(text, ground), contrast(text, surface)]));
  return least(onLight) >= least(onDark)
    ? { ...onLight, shadow: shadowOnLight }
    : { ...onDark, shadow: 'none' };
}

/** The colours of a scheme by our names of them: see public/style/theme.css. */
function tokensOf(colours: Colours): Record<string, string> {
  const { accent, ground, surface, ink } = colours;
  const onAccent = contrast('#ffffff', accent) >= contrast('#16171a', accent) ? '#ffffff' : '#16171a';
  return {
    ground,
    surface,
    'stage-light': surface,
    'stage-dark': mix(ground, ink, 0.08),
    ink,
    muted: mix(ink, ground, 0.28),
    line: mix(ground, ink, 0.14),
    field: mix(ground, ink, 0.04),
    hot: accent,
    'hot-press': mix(accent, onAccent === '#ffffff' ? '#000000' : '#ffffff', 0.12),
    'on-hot': onAccent,
    'hot-soft': mix(surface, accent, 0.1),
    'hot-text': accent,
    ...statesOn(colours),
  };
}

/** What of the theme's own colours can be hard to read on which. */
const pairs: [text: string, on: string, field: keyof Colours][] = [
  ['ink', 'ground', 'ink'],
  ['ink', 'surface', 'ink'],
  ['muted', 'ground', 'ink'],
  ['muted', 'surface', 'ink'],
  ['muted', 'field', 'ink'],
  ['hot-text', 'ground', 'accent'],
  ['hot-text', 'surface', 'accent'],
  ['hot-text', 'hot-soft', 'accent'],
  ['on-hot', 'hot', 'accent'],
  ['on-hot', 'hot-press', 'accent'],
  ['good', 'ground', 'ground'],
  ['wait', 'ground', 'ground'],
  ['good', 'surface', 'surface'],
  ['wait', 'surface', 'surface'],
];

/** Why colours are refused: the first pair of each field that is too hard to read. */
export function contrastFaults(colours: Colours): { field: keyof Colours; message: string }[] {
  const tokens = tokensOf(colours);
  const seen = new Set<string>();
  return pairs.flatMap(([text, on, field]) => {
    const [front = '', back = ''] = [tokens[text], tokens[on]];
    const found = contrast(front, back);
    if (found >= leastContrast || seen.has(field)) return [];
    seen.add(field);
    const rounded = Math.floor(found * 100) / 100;
    const message = `expected a contrast of at least ${leastContrast} (WCAG AA), got ${rounded}: ${front} on ${back}`;
    return [{ field, message }];
  });
}

const channels = (colour: string) => [1, 3, 5].map((at) => Number.parseInt(colour.slice(at, at + 2), 16));

function mix(one: string, other: string, share: number): string {
  const others = channels(other);
  const mixed = channels(one).map((value, at) => Math.round(value + ((others[at] ?? 0) - value) * share));
  return `#${mixed.map((value) => value.toString(16).padStart(2, '0')).join('')}`;
}

/** The relative luminance of WCAG 2. */
function luminance(colour: string): number {
  const [red = 0, green = 0, blue = 0] = channels(colour).map((value) => {
    const share = value / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

export function contrast(one: string, other: string): number {
  const [dark = 0, light = 0] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (light + 0.05) / (dark + 0.05);
}

/** The theme's tokens as a style sheet; empty when it has no colours of its own. */
export function styleOf({ light, dark }: Pick<Theme, 'light' | 'dark'>): string {
  const block = (colours: Colours) =>
    Object.entries(tokensOf(colours))
      .map(([name, value]) => `--${name}:${value}`)
      .join(';');
  const ofDark = dark ?? light;
  return [
    light ? `:root{${dark ? '' : 'color-scheme:light;'}${block(light)}}` : '',
    ofDark ? `@media(prefers-color-scheme:dark){:root{${block(ofDark)}}}` : '',
  ].join('');
}
