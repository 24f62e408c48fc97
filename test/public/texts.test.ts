import { readdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseSync } from 'oxc-parser';
import { describe, expect, test } from 'vitest';
import { german as germanRoom } from '../../public/admin/texts/de.js';
import { english as englishRoom } from '../../public/admin/texts/en.js';
import { french as frenchRoom } from '../../public/admin/texts/fr.js';
import { german } from '../../public/texts/de.js';
import { english } from '../../public/texts/en.js';
import { french } from '../../public/texts/fr.js';
import { isSentence, leavesOf } from '../support/texts.ts';

describe.each([
  ['the storefront', english, { german, french }],
  ['the control room', englishRoom, { german: germanRoom, french: frenchRoom }],
])('%s', (_where, texts, others) => {
  test.each(Object.entries(others))(
    'has in %s the same texts, and none in English',
    (_language, translated) => {
      const own = leavesOf(texts);
      const theirs = new Map(leavesOf(translated));
      expect([...theirs.keys()]).toEqual(own.map(([path]) => path));
      expect(own.filter(([path, text]) => isSentence(text) && theirs.get(path) === text)).toEqual([]);
    },
  );
});

const folder = 'public/admin';
const modules = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.js') && !name.startsWith('texts/'))
  .sort();

/** From which argument on these functions show what they are given. */
const shownFrom = new Map(
  Object.entries({
    ...{ element: 2, append: 0, replaceChildren: 0, setText: 1, toast: 0, confirm: 0, Error: 0 },
    ...{ action: 0, heading: 0, subheading: 0, field: 0, fieldOf: 0, timeField: 0, openForm: 0, table: 1 },
    ...{ tile: 0, chart: 0, logLine: 0, stepLine: 1, section: 0, shownOnce: 0 },
  }),
);
/** Of these only one argument is shown: the others are names of fields and options. */
const isShownOnce = new Set(['field', 'fieldOf', 'timeField', 'tile', 'table', 'action', 'openForm']);
/** Functions that take strings which nobody reads. */
const unseenCalls =
  /^(querySelector(All)?|closest|matches|byId|(get|set|toggle|remove)(Attribute|Item|RequestHeader|PropertyValue)|addEventListener|send|request|requestIdempotently|sendAsNobody|matchMedia|Unreachable|DateTimeFormat|RegExp|test|exec|replace|startsWith)$/;
const unseenNames =
  /^(class|data-.*|href|name|type|role|rel|target|autocomplete|inputmode|list|id|font|accept|step|color|paragraph|Accept|Authorization|Content-Type|If-Match)$/;
const shownNames = /^(aria-label|placeholder|title|alt|label|submit|back)$/;
/** Names of languages are in the languages themselves, and units in all of them. */
const sameEverywhere = new Set(['English', 'Deutsch', 'Français', ' MB', 'p50', 'p99', 'HTTP ']);

type Place = 'shown' | 'perhaps';
type Node = { type: string; [part: string]: unknown };

const readsAsWords = (text: string) =>
  /\p{L}{2,}[,.:;]?\s+\p{L}{2,}/u.test(text) || /^\s*\p{Lu}\p{Ll}+(\P{L}|$)/u.test(text);

/** Addresses and style values. */
const isForPrograms = (text: string) => /^[#/]\S*$|^color-mix\(|^px system-ui/.test(text);

/** The words in a module of the control room that a reader may see. */
const wordsIn = (text: string) => wordsAt(parseSync('module.js', text).program, 'perhaps');

function wordsAt(node: unknown, place: Place): string[] {
  if (Array.isArray(node)) return node.flatMap((one) => wordsAt(one, place));
  if (typeof node !== 'object' || node === null) return [];
  const at = node as Node;
  const text = at.type === 'TemplateElement' ? (at.value as { cooked: string }).cooked : at.value;
  if (at.type !== 'Property' && typeof text === 'string') return isSeen(text, place) ? [text] : [];
  return partsOf(at, place).flatMap(([part, itsPlace]) => wordsAt(part, itsPlace));
}

function isSeen(text: string, place: Place): boolean {
  const isText = place === 'shown' ? /\p{L}/u.test(text) : place === 'perhaps' && readsAsWords(text);
  return isText && !isForPrograms(text) && !sameEverywhere.has(text);
}

/** The parts of a node of the syntax tree, and whether their strings are shown. */
function partsOf(at: Node, place: Place): [part: unknown, place: Place][] {
  switch (at.type) {
    case 'ImportDeclaration':
    case 'ImportExpression':
      return [];
    case 'ConditionalExpression':
      return [at.consequent, at.alternate].map((part) => [part, place]);
    case 'BinaryExpression':
      return at.operator === '+' ? [at.left, at.right].map((part) => [part, place]) : [];
    case 'SwitchCase':
      return [[at.consequent, 'perhaps']];
    case 'MemberExpression':
      return [[at.object, 'perhaps']];
    case 'Property': {
      const { name, value } = at.key as { name?: string; value?: string };
      const key = name ?? String(value);
      if (unseenNames.test(key)) return [];
      return [[at.value, shownNames.test(key) ? 'shown' : 'perhaps']];
    }
    case 'CallExpression':
    case 'NewExpression':
      return [[at.callee, 'perhaps'], ...argumentsOf(at)];
    default: {
      const carries = /^(TemplateLiteral|ArrayExpression|SpreadElement|LogicalExpression)$/.test(at.type);
      return Object.values(at).map((part) => [part, carries ? place : 'perhaps']);
    }
  }
}

function argumentsOf(call: Node): [part: unknown, place: Place][] {
  const callee = call.callee as { name?: string; property?: { name?: string } };
  const name = callee.name ?? callee.property?.name ?? '';
  if (unseenCalls.test(name)) return [];
  const from = shownFrom.get(name);
  return (call.arguments as unknown[]).map((argument, n) => {
    const isShown = from !== undefined && (isShownOnce.has(name) ? n === from : n >= from);
    return [argument, isShown ? 'shown' : 'perhaps'];
  });
}

test.each(modules)('public/admin/%s has no words of its own: they are in texts/', async (name) => {
  expect(wordsIn(await readFile(join(folder, name), 'utf8'))).toEqual([]);
});

test.each([
  "element('p', { class: 'muted small' }, 'none')",
  "element('p', {}, isOpen ? texts.open : 'closed')",
  "element('p', {}, 'sold ' + number(count))",
  "element('input', { placeholder: 'optional' })",
  "const why = 'Too late'; toast(why)",
  "const reasons = { busy: 'too busy' }",
  "setText(note, total > 1 ? `of them` : '')",
  "throw new Error('Create a product first')",
  "table('staff', ['Name'])",
  "return ['a', 'It is over']",
])('words would be found in: %s', (text) => {
  expect(wordsIn(`function view() { ${text} }`)).not.toEqual([]);
});
