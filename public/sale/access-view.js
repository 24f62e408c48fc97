/** Decides what is said about who may buy when, and about the buyer's own time. Pure. */

/** @import { SaleAccess, SalePhase, SaleSnapshot } from '../../sale/contract.ts' */
/** @import { english } from '../texts/en.js' */

/**
 * @typedef {object} PhaseLine
 * @property {string} name
 * @property {string} who
 * @property {string} when
 * @property {boolean} isNow whether it is the latest that has begun
 *
 * @typedef {object} AccessView
 * @property {PhaseLine[]} phases
 * @property {string} text about the buyer; may be empty
 * @property {boolean} asksCode whether a code can be entered
 */

/** @param {Pick<SaleSnapshot, 'phases'>} sale @param {number} now */
const begun = ({ phases = [] }, now) => phases.filter(({ opensAt }) => Date.parse(opensAt) <= now);

/** Whether nobody needs a list or a code. @param {Pick<SaleSnapshot, 'phases'>} sale @param {number} now */
const isForEverybody = (sale, now) =>
  (sale.phases ?? []).length === 0 || begun(sale, now).some(({ access }) => access === 'everybody');

/**
 * Whether the sale is open for the buyer.
 * @param {Pick<SaleSnapshot, 'phases'>} sale @param {SaleAccess | null} access null while it is not known @param {number} now
 */
export const isOpenFor = (sale, access, now) =>
  isForEverybody(sale, now) || (access?.opensAt != null && Date.parse(access.opensAt) <= now);

/**
 * Whether an answer about the buyer's own time is missing, or may become another one: the list is replaced, the address is confirmed, a
 * code comes back.
 * @param {Pick<SaleSnapshot, 'phases'>} sale @param {SaleAccess | null} access @param {number} now
 */
export function mayChange(sale, access, now) {
  if (isOpenFor(sale, access, now)) return false;
  if (access === null) return true;
  const hasList = (sale.phases ?? []).some((phase) => phase.access === 'list');
  return (hasList && !access.isListed) || access.code === 'used' || access.code === 'refused';
}

/** @param {string} name @param {string} who */
const isSame = (name, who) => name.toLowerCase() === who.toLowerCase();

/**
 * @param {Pick<SaleSnapshot, 'phases'>} sale
 * @param {{ access: SaleAccess | null, isSignedIn: boolean, isVerified: boolean, now: number }} buyer
 * @param {{ texts: Pick<typeof english, 'access'>, dateTime: (at: string) => string }} words
 * @returns {AccessView | null} null for a sale without phases
 */
export function accessView(sale, { access, isSignedIn, isVerified, now }, { texts, dateTime }) {
  const { phases = [] } = sale;
  if (phases.length === 0) return null;
  const latest = begun(sale, now).at(-1);
  const t = texts.access;
  const has = (/** @type {SalePhase['access']} */ wanted) => phases.some((phase) => phase.access === wanted);
  const isOver = isForEverybody(sale, now);
  const lines = phases.map((phase) => ({
    name: phase.name,
    who: isSame(phase.name, t.who[phase.access]) ? '' : t.who[phase.access],
    when: t.from(dateTime(phase.opensAt)),
    isNow: phase === latest,
  }));
  return {
    phases: lines,
    text: isOver ? '' : textOf(),
    asksCode: !isOver && has('code'),
  };

  function textOf() {
    if (!isSignedIn) return has('list') ? t.signIn : '';
    if (access === null) return '';
    const parts = [];
    if (access.isListed) parts.push(t.listed);
    if (access.code) parts.push(t.code[access.code]);
    if (access.opensAt === null) parts.push(has('code') && !access.code ? t.needsCode : t.closed);
    else if (Date.parse(access.opensAt) > now) parts.push(t.opensForYou(dateTime(access.opensAt)));
    else return [...parts, t.openForYou].join(' ');
    if (has('list') && !isVerified && !access.isListed) parts.push(t.confirm);
    return parts.join(' ');
  }
}
