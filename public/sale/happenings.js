/**
 * What just happened to a sale, told from what the page was told: only what is certain, and nobody's name.
 * A stock that rises may be units that were cancelled or units that were added; only a whole snapshot can tell.
 */

/** @import { SaleSnapshot, SaleStatus } from '../../sale/contract.ts' */

import { relative } from '../shared/format.js';
import { texts } from '../shared/texts.js';

/** What happens of the same kind within this time of the first is one line. */
const TOGETHER_MS = 3_000;
const KEPT = 8;

/**
 * @typedef {{ kind: 'sold' | 'returned' | 'added' | SaleStatus, count: number, since: number, at: number }} Happening
 *   newest first
 */

export function openHappenings() {
  /** @type {Happening[]} */
  let list = [];
  /** @type {{ sold: number, units: number, status: SaleStatus } | null} */
  let known = null;

  /** @param {Happening['kind']} kind @param {number} count @param {number} at */
  function add(kind, count, at) {
    const [last] = list;
    const isSame = last && last.kind === kind && at - last.since < TOGETHER_MS;
    if (isSame) list = [{ ...last, count: last.count + count, at }, ...list.slice(1)];
    else list = [{ kind, count, since: at, at }, ...list].slice(0, KEPT);
  }

  return {
    list: () => list,

    /**
     * @param {Pick<SaleSnapshot, 'stock' | 'unitsOnSale'>} sale @param {SaleStatus} status @param {number} at
     * @param {boolean} isWhole whether it is a snapshot of the shop's, and not the stock alone
     * @returns {boolean} whether only a whole snapshot can tell what happened
     */
    learn({ stock, unitsOnSale }, status, at, isWhole) {
      const sold = unitsOnSale - stock;
      const before = known ?? { sold, units: unitsOnSale, status };
      if (sold < before.sold && !isWhole) return true;
      if (unitsOnSale > before.units) add('added', unitsOnSale - before.units, at);
      if (sold > before.sold) add('sold', sold - before.sold, at);
      if (sold < before.sold) add('returned', before.sold - sold, at);
      if (status !== before.status) add(status, 1, at);
      known = { sold, units: unitsOnSale, status };
      return false;
    },
  };
}

/** @param {Happening} happening */
export const inWords = ({ kind, count, at }) => `${texts.happened[kind](count)} · ${relative(at)}`;
