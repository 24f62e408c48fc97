/** A buyer's place in a draw or on a waiting list, below the button of the sale page. */

/** @import { Place, SaleSnapshot } from '../../sale/contract.ts' */
/** @import { SaleView } from './sale-view.js' */

import { openAccount } from '../account/account.js';
import { asBuyer, currentSession } from '../account/session.js';
import { call, Problem } from '../shared/api.js';
import { byId, element, setText, show } from '../shared/dom.js';
import { dateTime } from '../shared/format.js';
import { itemsOf } from '../shared/items.js';
import { texts } from '../shared/texts.js';
import { toast } from '../shared/toast.js';
import { placeView } from './place-view.js';

/**
 * @param {string} saleId
 * @param {() => { quantity: number, lines?: object[] }} wanted
 * @param {{ shown: () => Record<string, string>, onChange: () => void, chooseItem: () => void }} page
 */
export function openPlace(saleId, wanted, { shown: demanded, onChange, chooseItem }) {
  /** @type {Place | null} */
  let place = null;
  /** @type {SaleView | null} */
  let shown = null;
  let isBusy = false;
  const path = `/sales/${encodeURIComponent(saleId)}`;
  const text = element('p', { id: 'place-text', role: 'status', 'data-testid': 'place' });
  const button = element('button', { type: 'button', class: 'primary', 'data-testid': 'place-button' });
  const link = element('a', { href: `/draws/${encodeURIComponent(saleId)}` }, texts.place.check);
  const section = element(
    'section',
    { class: 'order place', 'aria-labelledby': 'place-text' },
    text,
    button,
    link,
  );
  // The server has shown one, without what only the buyer's place tells.
  const first = document.getElementById('place');
  if (first) first.replaceWith(section);
  else byId('order').before(section);
  document.getElementById('place-button')?.replaceWith(button);

  /** What takes a place in a draw stays in view where Buy would be. @param {boolean} isForBuy */
  function putButton(isForBuy) {
    const isThere = button.parentElement !== null && button.parentElement !== section;
    if (isThere === isForBuy) return;
    const hadFocus = document.activeElement === button;
    if (isForBuy) byId('buy').after(button);
    else link.before(button);
    if (hadFocus) button.focus();
  }

  async function refresh() {
    const buyerId = currentSession()?.user.id;
    try {
      const { body } = await asBuyer((token) => call('GET', `${path}/waiting-list/mine`, { token }));
      if (currentSession()?.user.id === buyerId) place = body;
    } catch (error) {
      // Otherwise there is no answer: what is shown stays until the next one.
      if (!(error instanceof Problem && !error.isPassing) && buyerId) return;
      place = null;
    }
    onChange();
  }

  async function press() {
    const action = button.dataset.action;
    if (!currentSession()) return openAccount();
    if (shown && action !== 'leave' && itemsOf(shown.sale).length > 1 && !shown.choice) return chooseItem();
    if (isBusy) return;
    isBusy = true;
    try {
      const target = action === 'enter' ? 'entries' : 'waiting-list';
      const [method, end] = action === 'leave' ? ['DELETE', '/mine'] : ['POST', ''];
      const body = action === 'leave' ? undefined : wanted();
      const headers = action === 'leave' ? {} : demanded();
      await asBuyer((token) => call(method, `${path}/${target}${end}`, { token, body, headers }));
    } catch (error) {
      const name = error instanceof Problem ? error.name : '';
      const reasons = /** @type {Record<string, string>} */ ({ ...texts.refusal, ...texts.place.refused });
      toast(reasons[name] ?? texts.noAnswer);
    } finally {
      isBusy = false;
    }
    await refresh();
  }
  button.addEventListener('click', press);

  return {
    refresh,
    /** While nothing tells of a change. */
    poll: (/** @type {{ isUp: boolean }} */ _) => refresh(),
    mayTakePlace: () => place === null || place.state === 'left',
    pass: () => undefined,
    hear() {},
    /** @param {SaleView} view */
    render(view) {
      shown = view;
      const seen = placeView(view, place, { texts, dateTime });
      show(section, seen !== null);
      show(button, Boolean(seen?.action));
      // Nobody presses Buy in a draw; how many to ask for is chosen as before.
      show(byId('buy'), view.sale.mode !== 'draw');
      // It says that units which come back are for everybody.
      show(byId('buy-note'), seen === null);
      if (!seen) return;
      setText(text, seen.text);
      const { action } = seen;
      button.dataset.action = action ?? '';
      button.className = action === 'leave' ? 'quiet' : 'primary';
      if (action) setText(button, view.isSignedIn ? texts.place.actions[action] : texts.buySignIn);
      putButton(view.sale.mode === 'draw' && action !== 'leave');
      show(link, view.sale.mode === 'draw');
    },
  };
}
