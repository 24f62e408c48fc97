/** Decides what is said about a place in a draw or on a waiting list. Pure. */

/** @import { Place, SaleItem, SaleSnapshot, SaleStatus } from '../../sale/contract.ts' */
/** @import { english } from '../texts/en.js' */

import { itemsOf } from '../shared/items.js';

/**
 * @typedef {'enter' | 'join' | 'leave' | null} PlaceAction what the button does; null when there is none
 *
 * @typedef {object} PlaceView
 * @property {string} text
 * @property {PlaceAction} action
 * @property {boolean} isDrawn whether there is a draw to look at
 */

/**
 * @param {{ sale: SaleSnapshot, choice: SaleItem | null, status: SaleStatus, now: number }} view @param {Place | null} place
 * @param {{ texts: Pick<typeof english, 'place'>, dateTime: (at: string) => string }} words
 * @returns {PlaceView | null} null when the sale offers no place now
 */
export function placeView({ sale, choice, status, now }, place, { texts, dateTime }) {
  const isOver = status === 'ended' || status === 'called_off';
  const isDraw = sale.mode === 'draw';
  const isDrawn = sale.drawnAt !== undefined;
  const isWaiting = place?.state === 'waiting';
  if (place?.state === 'offered') return { text: texts.place.offered, action: null, isDrawn };
  if (isWaiting && !isOver && (isDrawn || !isDraw)) {
    const drawn = place.drawn ? texts.place.drawn(place.drawn) : '';
    const ahead = texts.place.ahead(place.ahead ?? 0, place.moreAhead === true);
    return { text: `${drawn} ${ahead}`.trim(), action: 'leave', isDrawn };
  }
  if (isDraw && !isDrawn) {
    const drawAt = dateTime(sale.drawAt ?? sale.closesAt);
    if (status === 'called_off') return null;
    if (now >= Date.parse(sale.drawAt ?? '')) return { text: texts.place.drawing, action: null, isDrawn };
    if (status === 'scheduled')
      return { text: texts.place.soon(dateTime(sale.opensAt), drawAt), action: null, isDrawn };
    if (place) return { text: texts.place.entered(drawAt), action: 'leave', isDrawn };
    return { text: texts.place.rules(drawAt), action: status === 'open' ? 'enter' : null, isDrawn };
  }
  if (sale.waitingList && !isOver && status !== 'scheduled' && (isDraw || isSoldOut(sale, choice)))
    return { text: isDraw ? texts.place.over : texts.place.mayJoin, action: 'join', isDrawn };
  return isDraw ? { text: texts.place.over, action: null, isDrawn } : null;
}

/** @param {SaleSnapshot} sale @param {SaleItem | null} choice */
const isSoldOut = (sale, choice) => (itemsOf(sale).length > 1 ? choice?.stock === 0 : sale.stock === 0);
