/** The fields for what a sale demands against bots, and the same in words. It can be changed at any time. */

/** @import { SaleSnapshot } from '../../../sale/contract.ts' */
/** @import { Reader } from '../form.js' */

import { element } from '../../shared/dom.js';
import { number } from '../../shared/format.js';
import { parseWhole } from '../../shared/money.js';
import { field, fieldOf } from '../form.js';
import { texts } from '../texts.js';

const t = texts.bots;
/** Twice as hard with each bit; a page of a phone tries some hundred thousand answers a second. */
const [LIGHT_BITS, USUAL_BITS, HEAVY_BITS] = [12, 15, 18];
const HARDER_BITS = 2;
const OPENING_SECONDS = 60;
const BACKLOG = 5_000;
/** The value of a choice for what the form does not offer, which stays as it is. */
const KEPT = 'kept';

/** @type {[value: string, label: string][]} */
const puzzles = [
  ['', t.none],
  [String(LIGHT_BITS), t.light],
  [String(USUAL_BITS), t.usual],
  [String(HEAVY_BITS), t.heavy],
];
/** @type {[value: string, label: string][]} */
const harder = [
  ['', t.never],
  ['opening', t.atOpening],
  ['load', t.underLoad],
  ['opening+load', t.both],
];
/** @type {[value: string, label: string][]} */
const sizes = [
  ['address', t.address],
  ['range', t.range],
];
/** @type {[value: string, label: string][]} */
const captchas = [
  ['', t.none],
  ['on', t.captchaOn],
];

/** How a sale's puzzle gets harder, as the form offers it. @param {SaleSnapshot['proofOfWork']} work */
function harderOf(work) {
  if (!work) return '';
  const { bits, opening, load } = work;
  const isUsual =
    (!opening || (opening.bits === bits + HARDER_BITS && opening.seconds === OPENING_SECONDS)) &&
    (!load || (load.bits === bits + HARDER_BITS && load.backlog === BACKLOG));
  return isUsual ? [opening && 'opening', load && 'load'].filter(Boolean).join('+') : KEPT;
}

/**
 * @param {string} label @param {string} name @param {[value: string, label: string][]} choices @param {string} present
 * @param {string} [hint]
 */
function choice(label, name, choices, present, hint) {
  const isOffered = choices.some(([value]) => value === present);
  /** @type {[value: string, label: string][]} */
  const all = isOffered ? choices : [...choices, [present, t.asNow]];
  const options = all.map(([value, text]) => element('option', { value, selected: value === present }, text));
  return fieldOf(label, element('select', { name }, ...options), hint);
}

/** @param {SaleSnapshot | null} sale */
export function botFields(sale) {
  const { proofOfWork, networkLimit, captcha } = sale ?? {};
  const hasCaptcha = document.documentElement.dataset.captcha !== undefined;
  return [
    choice(t.puzzle, 'puzzle', puzzles, String(proofOfWork?.bits ?? ''), t.puzzleHint),
    choice(t.harder, 'harder', harder, harderOf(proofOfWork), t.harderHint),
    field(
      t.people,
      'networkPeople',
      { inputmode: 'numeric', autocomplete: 'off', value: String(networkLimit?.people ?? '') },
      t.peopleHint,
    ),
    choice(t.network, 'networkSize', sizes, networkLimit?.of ?? 'address'),
    ...(hasCaptcha ? [choice(t.captcha, 'captcha', captchas, captcha ? 'on' : '', t.captchaHint)] : []),
  ];
}

/** @param {Reader} read @param {SaleSnapshot | null} sale */
export function readBotFields(read, sale) {
  const bits = Number(read.textOf('puzzle'));
  const how = read.textOf('harder');
  const more = { bits: bits + HARDER_BITS };
  const { opening, load } = how === KEPT ? (sale?.proofOfWork ?? {}) : {};
  const proofOfWork = {
    bits,
    ...(opening && { opening }),
    ...(load && { load }),
    ...(how.includes('opening') && { opening: { ...more, seconds: OPENING_SECONDS } }),
    ...(how.includes('load') && { load: { ...more, backlog: BACKLOG } }),
  };
  const isLimited = read.textOf('networkPeople') !== '';
  const people = isLimited ? read.read('networkPeople', t.people, parseWhole) : 0;
  if (people === 0 && isLimited) read.refuse('networkPeople', t.peopleAtLeast);
  const hasCaptcha = document.documentElement.dataset.captcha !== undefined;
  // What a sale does not have need not be turned off.
  const off = (/** @type {object | undefined} */ before) => (before ? 'off' : undefined);
  return {
    proofOfWork: bits === 0 ? off(sale?.proofOfWork) : proofOfWork,
    networkLimit: isLimited ? { people, of: read.textOf('networkSize') } : off(sale?.networkLimit),
    ...(hasCaptcha && { captcha: read.textOf('captcha') === 'on' }),
  };
}

/** @param {Pick<SaleSnapshot, 'proofOfWork' | 'networkLimit' | 'captcha'>} sale */
export function botsInWords({ proofOfWork, networkLimit, captcha }) {
  const { bits = 0 } = proofOfWork ?? {};
  const names = new Map(puzzles.slice(1).map(([value, label]) => [Number(value), label]));
  const how = harderOf(proofOfWork);
  const [, label] = harder.find(([value]) => value === how) ?? ['', t.asNow];
  const words = [
    proofOfWork && t.puzzleWords(names.get(bits) ?? t.bits(bits)),
    how && t.harderWords(label),
    networkLimit && t.networkWords(number(networkLimit.people), t[networkLimit.of]),
    captcha && t.captchaWords,
  ].filter(Boolean);
  return words.length > 0 ? words.join('; ') : t.nothing;
}
