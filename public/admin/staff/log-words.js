/** What a change in the staff log says, in the words of the forms. A field that has none is shown as it is logged. */

/** @import { OrderStatus, PhaseAccess, SaleMode, SaleSnapshot } from '../../../sale/contract.ts' */

import { dateTime, money, number } from '../../shared/format.js';
import { texts as storefront } from '../../shared/texts.js';
import { botsInWords } from '../sales/bot-fields.js';
import { cancelWindows, paymentWindows, spanOf } from '../sales/sale-form.js';
import { texts } from '../texts.js';
import { roleName } from './roles.js';

/** @typedef {Record<string, unknown>} Fields */
/** @typedef {{ id?: string, productId: string, label: string, amount: number, oldAmount?: number | null, stock?: number, unitsOnSale?: number, limitPerBuyer?: number | null, currency?: string }} LoggedItem */
/** @typedef {{ name: string, access: PhaseAccess, opensAt: string }} LoggedPhase */

const { log: t, saleForm: form, terms, bots, words, shop, products, keys } = texts;
const NOTHING = '–';

/** What nothing means where it is a choice. @type {Record<string, string>} */
const ofNothing = { cancelWindowSeconds: form.never };

const yesOrNo = (/** @type {boolean} */ is) => (is ? t.yes : t.no);

/** @param {LoggedItem} item @param {Fields} beside the other fields of the entry */
function itemInWords(item, beside) {
  const { id: _, productId, label, amount, oldAmount, stock, unitsOnSale, limitPerBuyer, ...others } = item;
  const { currency = /** @type {string} */ (beside.currency), ...unknown } = others;
  const price = terms.each(money({ amount, currency }));
  const before = oldAmount ? terms.before(money({ amount: oldAmount, currency })) : '';
  const limit = limitPerBuyer ? terms.limitEach(limitPerBuyer) : '';
  const named = label ? `${label}: ` : '';
  const told = `${named}${price}${before}, ${terms.units(stock ?? unitsOnSale ?? 0)}${limit}`;
  return [told, `${words.product} ${productId}`, asLogged(unknown)].filter(Boolean).join(', ');
}

/** @param {LoggedPhase} phase */
const phaseInWords = ({ name, access, opensAt }) =>
  `${name}: ${texts.access.fromThen(texts.access.who[access], dateTime(opensAt))}`;

/** @param {NonNullable<SaleSnapshot['proofOfWork']>} proofOfWork */
function puzzleInWords(proofOfWork) {
  const said = botsInWords({ proofOfWork });
  // The form has no words for a puzzle that another program has set.
  return said.includes(bots.asNow) ? '' : said;
}

/** Of each field its name, and how its value is said. @type {Record<string, [label: string, say: (value: any, beside: Fields) => string]>} */
const ways = {
  // A sale
  items: [
    words.item,
    (items, beside) => items.map((/** @type {LoggedItem} */ one) => itemInWords(one, beside)).join('; '),
  ],
  currency: [form.currency, String],
  unitsOnSale: [words.units, number],
  limitPerBuyer: [form.limit, number],
  paused: [storefront.saleStatus.paused, yesOrNo],
  calledOffAt: [storefront.saleStatus.called_off, dateTime],
  opensAt: [terms.opens, dateTime],
  closesAt: [terms.ends, dateTime],
  phases: [texts.access.title, (phases) => phases.map(phaseInWords).join('; ')],
  requiresVerifiedEmail: [terms.whoMayBuy, (is) => (is ? terms.verified : terms.everybody)],
  mode: [terms.givenOut, (/** @type {SaleMode} */ mode) => form.modes[mode]],
  roomPerMinute: [form.paceShort, number],
  site: [form.site, ({ url, inside }) => `${url}, ${texts.faultOf(form.inside, number(inside))}`],
  drawAt: [form.drawAt, dateTime],
  drawBeacon: [form.modes.beacon, yesOrNo],
  waitingList: [form.returns, (is) => (is ? form.returnsToList : form.returnsToAll)],
  language: [form.language, (/** @type {keyof typeof shop.languages} */ code) => shop.languages[code]],
  cancelWindowSeconds: [form.cancelling, (seconds) => spanOf(cancelWindows, seconds)],
  paymentWindowSeconds: [form.timeToPay, (seconds) => spanOf(paymentWindows, seconds)],
  proofOfWork: [bots.puzzle, puzzleInWords],
  networkLimit: [bots.title, (networkLimit) => botsInWords({ networkLimit })],
  captcha: [bots.captcha, yesOrNo],
  // A product
  description: [products.description, String],
  image: [products.picture(1), String],
  images: [t.pictures, (paths) => paths.join(', ') || NOTHING],
  // People and keys
  name: [words.name, String],
  email: [words.email, String],
  role: [words.role, roleName],
  scopes: [
    t.scopes,
    (scopes) => scopes.map((/** @type {keyof typeof keys.scopes} */ one) => keys.scopes[one]).join('; '),
  ],
  // The shop
  logo: [shop.logo, String],
  languages: [
    shop.languagesLabel,
    (codes) =>
      codes.map((/** @type {keyof typeof shop.languages} */ code) => shop.languages[code]).join(', '),
  ],
  // Orders
  amount: [
    words.amount,
    (amount, { currency }) => (currency ? money({ amount, currency: String(currency) }) : ''),
  ],
  status: [t.status, (/** @type {OrderStatus} */ status) => storefront.orderStatus[status]],
  reason: [words.reason, String],
};

/**
 * @param {Fields | null | undefined} before @param {Fields | null | undefined} after
 * @returns {{ name: string, isTechnical: boolean, values: string[] }[]} one value, or two of a change
 */
export function changesInWords(before, after) {
  const names = [...new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {})])];
  return names.map((name) => {
    const [was, is] = withoutSame(name, before, after);
    const said = (/** @type {unknown} */ value, /** @type {Fields} */ beside) => inWords(name, value, beside);
    const values = [...(before ? [said(was, before)] : []), ...(after ? [said(is, after)] : [])];
    const isTechnical = !Object.hasOwn(ways, name);
    return { name: isTechnical ? name : (ways[name]?.[0] ?? name), isTechnical, values };
  });
}

/**
 * The field in both, without what two lists have in common, such as the items of which the same is said.
 * @param {string} name @param {Fields | null | undefined} before @param {Fields | null | undefined} after
 */
function withoutSame(name, before, after) {
  const [was, is] = [before?.[name], after?.[name]];
  if (!before || !after || !Array.isArray(was) || !Array.isArray(is)) return [was, is];
  const saidBefore = was.map((one) => inWords(name, [one], before));
  const saidAfter = is.map((one) => inWords(name, [one], after));
  const gone = was.filter((_, at) => !saidAfter.includes(saidBefore[at] ?? ''));
  const come = is.filter((_, at) => !saidBefore.includes(saidAfter[at] ?? ''));
  // Only their order has changed.
  return gone.length + come.length === 0 ? [was, is] : [gone, come];
}

/** @param {string} name @param {unknown} value @param {Fields} beside */
function inWords(name, value, beside) {
  if (value === null && Object.hasOwn(ofNothing, name)) return ofNothing[name] ?? NOTHING;
  if (value === undefined || value === null) return NOTHING;
  try {
    // Another version may have logged a field in another shape.
    const said = Object.hasOwn(ways, name) && ways[name]?.[1](value, beside);
    if (said) return said;
  } catch {}
  return cut(asLogged(value)) || NOTHING;
}

/** @param {unknown} value @returns {string} */
function asLogged(value) {
  if (Array.isArray(value)) return value.map(asLogged).join('; ');
  if (typeof value !== 'object' || value === null) return String(value ?? NOTHING);
  return Object.entries(value)
    .map(([name, part]) => `${name}: ${asLogged(part)}`)
    .join(', ');
}

const cut = (/** @type {string} */ text) => (text.length > 200 ? `${text.slice(0, 200)}…` : text);
