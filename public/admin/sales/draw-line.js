/** What a draw waits for: the public random number that it depends on. */

/** @import { Draw, SaleSnapshot } from '../../../sale/contract.ts' */

import { serverNow } from '../../shared/clock.js';
import { element, setText, show } from '../../shared/dom.js';
import { dateTime, exactTime } from '../../shared/format.js';
import { fetchDraw, waiveBeacon } from '../api.js';
import { action } from '../components.js';
import { texts } from '../texts.js';

/** @param {string} saleId */
export function drawLine(saleId) {
  const text = element('span', {});
  const waive = action(
    texts.drawLine.without,
    async () => {
      if (confirm(texts.drawLine.withoutConfirm)) tell(await waiveBeacon(saleId));
    },
    { 'data-testid': 'waive-beacon', 'data-needs': 'admin' },
  );
  const root = element('p', { role: 'status', 'data-testid': 'beacon' }, text, ' ', waive);
  root.hidden = true;

  /** @param {Draw} draw */
  function tell({ state, beacon }) {
    show(root, state === 'frozen' && beacon !== undefined);
    if (!beacon) return;
    const { round, at, isLate, waivedAt } = beacon;
    const { waived, late, expected } = texts.drawLine;
    const waits = isLate ? late(round, exactTime(at)) : expected(round, exactTime(at));
    setText(text, waivedAt ? waived(round, dateTime(waivedAt)) : waits);
    show(waive, isLate);
  }
  return {
    root,
    /** @param {SaleSnapshot} sale */
    async draw({ drawBeacon, drawAt, drawnAt }) {
      const mayWait = drawBeacon && drawAt && !drawnAt && Date.parse(drawAt) <= serverNow();
      if (mayWait) tell(await fetchDraw(saleId));
      else show(root, false);
    },
  };
}
