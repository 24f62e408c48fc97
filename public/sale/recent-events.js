/**
 * The recent events of a sale, derived from its snapshots and stock messages.
 * A rising stock can mean returned or added units, which only a snapshot tells apart.
 */

/** @import { SaleSnapshot, SaleStatus } from '../../sale/contract.ts' */

import { relative } from '../shared/format.js';
import { texts } from '../shared/texts.js';

/** Events of the same kind within this time of the first are shown as one. */
const MERGE_WITHIN_MS = 3_000;
const MAX_EVENTS = 8;

/**
 * @typedef {{ kind: 'sold' | 'returned' | 'added' | SaleStatus, count: number, since: number, at: number }} RecentEvent
 *   `at` is the time of its latest change
 */

export function openRecentEvents() {
  /** @type {RecentEvent[]} */
  let list = [];
  /** @type {{ sold: number, units: number, status: SaleStatus } | null} */
  let known = null;

  /** @param {RecentEvent['kind']} kind @param {number} count @param {number} at */
  function add(kind, count, at) {
    const [last] = list;
    const isSame = last && last.kind === kind && at - last.since < MERGE_WITHIN_MS;
    if (isSame) list = [{ ...last, count: last.count + count, at }, ...list.slice(1)];
    else list = [{ kind, count, since: at, at }, ...list].slice(0, MAX_EVENTS);
  }

  return {
    list: () => list,

    /**
     * @param {Pick<SaleSnapshot, 'stock' | 'unitsOnSale'>} sale @param {SaleStatus} status @param {number} at
     * @param {boolean} isWhole whether it is a snapshot from the server, and not a stock message
     * @returns {boolean} whether a snapshot is needed to tell what happened
     */
    update({ stock, unitsOnSale }, status, at, isWhole) {
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

/** @param {RecentEvent} event */
export const inWords = ({ kind, count, at }) => `${texts.recentEvents[kind](count)} · ${relative(at)}`;
