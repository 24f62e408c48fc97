/** What a draw waits for: the public random number that it depends on. */

/** @import { Draw, SaleSnapshot } from '../../../sale/contract.ts' */

import { serverNow } from '../../shared/clock.js';
import { element, setText, show } from '../../shared/dom.js';
import { dateTime, exactTime } from '../../shared/format.js';
import { fetchDraw, waiveBeacon } from '../api.js';
import { action } from '../components.js';

/** @param {string} saleId */
export function drawLine(saleId) {
  const text = element('span', {});
  const waive = action(
    'Draw without it',
    async () => {
      const asked = 'Draw without the public random number? That you did so is published with the draw.';
      if (confirm(asked)) tell(await waiveBeacon(saleId));
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
    const when = isLate ? `has been late since ${exactTime(at)}` : `is expected at ${exactTime(at)}`;
    const waits = `The draw waits for round ${round} of drand, which ${when}.`;
    setText(text, waivedAt ? `Drawing without round ${round}, as decided at ${dateTime(waivedAt)}.` : waits);
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
