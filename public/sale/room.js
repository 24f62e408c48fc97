/** The waiting room on the sale page: a place, the way to the front, and the pass. */

/** @import { Place, RoomStatus } from '../../sale/contract.ts' */
/** @import { SaleView } from './sale-view.js' */
/** @import { RoomView, Wait } from './room-view.js' */

import { openAccount } from '../account/account.js';
import { asBuyer, currentSession } from '../account/session.js';
import { call, Problem } from '../shared/api.js';
import { jittered, serverNow } from '../shared/clock.js';
import { byId, element, setText, show } from '../shared/dom.js';
import { shortCountdown } from '../shared/format.js';
import { texts } from '../shared/texts.js';
import { toast } from '../shared/toast.js';
import { aheadOf, askAgainMs, roomView, steady, waitOf } from './room-view.js';

/** A place that has not changed is read again only after this time: what everybody hears says the rest. */
const READ_PLACE_MS = 5 * 60_000;
/** So many people's pages ask at the same moment that they spread over this time. */
const SPREAD_MS = 1_500;
/** A screen reader hears the place no more often. */
const SPEAK_EVERY_MS = 60_000;
/** The end of the pass with which the person went back. */
const RETURNED_KEY = 'room-returned';
/** The page that sent the person here, because a sign-in elsewhere comes back without it. */
const RETURN_TO_KEY = 'room-return-to:';

/**
 * What this tab keeps, also after it was elsewhere; where the browser blocks storage, nothing.
 * @param {string} key @param {string | null} [text] kept from now on
 */
function keptForTab(key, text = null) {
  try {
    if (text !== null) sessionStorage.setItem(key, text);
    return sessionStorage.getItem(key);
  } catch {
    return text;
  }
}

/** The button for buying is shown to whoever is inside, and while an order is on its way or waits to be paid. */
const shownOutside = new Set([
  'sending',
  'queued',
  'busy',
  'stalled',
  'held',
  'paid',
  'ended',
  'called-off',
  'offline',
]);

/**
 * @param {string} saleId
 * @param {{ shown: () => Record<string, string>, withCode: () => { code?: string }, onChange: () => void }} page
 */
export function openRoom(saleId, { shown, withCode, onChange }) {
  /** @type {Place | null} */
  let place = null;
  /** @type {RoomStatus | null} */
  let room = null;
  /** @type {Wait | null} */
  let wait = null;
  /** @type {import('../../sale/contract.ts').RoomPass | null} */
  let pass = null;
  /** The page of another site that sent the person here to wait. */
  let returnTo = keptForTab(RETURN_TO_KEY + saleId, new URLSearchParams(location.search).get('return'));
  let readAt = Number.NEGATIVE_INFINITY;
  let isBusy = false;
  let isAsking = false;
  let isPaused = false;
  /** How often the place was asked for in a row and was the same, and when it may be asked for again. */
  let unchanged = 0;
  let askAt = Number.NEGATIVE_INFINITY;
  const spoken = { kind: '', told: '', at: Number.NEGATIVE_INFINITY };
  const path = `/sales/${encodeURIComponent(saleId)}`;

  const text = element('p', { id: 'place-text', class: 'room-text', 'data-testid': 'place' });
  const note = element('p', { class: 'muted room-note', 'data-testid': 'room-note' });
  const message = element('p', { class: 'room-message', 'data-testid': 'room-message', hidden: true });
  const main = element('button', { type: 'button', class: 'primary', 'data-testid': 'place-button' });
  const quit = element(
    'button',
    { type: 'button', class: 'quiet', 'data-testid': 'leave-button' },
    texts.place.actions.leave,
  );
  const onward = element('a', { class: 'room-onward', 'data-testid': 'room-onward', hidden: true });
  const link = element('a', { href: `/draws/${encodeURIComponent(saleId)}` }, texts.room.check);
  const polite = element('p', { class: 'visually-hidden', 'aria-live': 'polite' });
  const alarm = element('p', { class: 'visually-hidden', role: 'alert' });
  const section = element(
    'section',
    { class: 'order place', 'aria-labelledby': 'place-text' },
    ...[text, note, quit, onward, message, link, polite, alarm],
  );
  const first = document.getElementById('place');
  if (first) first.replaceWith(section);
  else byId('order').before(section);
  // It stays in view, where Buy would be.
  const firstButton = document.getElementById('place-button');
  if (firstButton) firstButton.replaceWith(main);
  else byId('buy').after(main);

  async function readPlace() {
    const buyerId = currentSession()?.user.id;
    try {
      const { body } = await asBuyer((token) => call('GET', `${path}/places/mine`, { token }));
      if (currentSession()?.user.id !== buyerId) return;
      place = body;
    } catch (error) {
      // Otherwise there is no answer: what is shown stays until the next one.
      if (!(error instanceof Problem && !error.isPassing) && buyerId) return;
      place = null;
    }
    readAt = performance.now();
    if (place?.state !== 'inside') pass = null;
    try {
      // Also after a reload, on another device, and after a pause, which makes it last longer.
      if (lacksPass()) await askForPass();
    } catch {
      // It is asked for again soon.
    }
    onChange();
  }

  async function askForPass() {
    const query = returnTo ? `?${new URLSearchParams({ returnTo })}` : '';
    try {
      const { body } = await asBuyer((token) => call('POST', `${path}/places/mine/pass${query}`, { token }));
      pass = body;
    } catch (error) {
      if (!returnTo || !(error instanceof Problem && error.name === 'invalid-input')) throw error;
      // It is no site of this shop, so nobody is sent there.
      returnTo = null;
      return await askForPass();
    }
    goBack();
  }

  /** Goes back to the site that sent the person here: once with each pass, because the site may send them here again. */
  function goBack() {
    if (!pass?.returnUrl) return;
    onward.href = pass.returnUrl;
    setText(onward, texts.room.goOn(new URL(pass.returnUrl).host));
    if (keptForTab(RETURNED_KEY) === pass.passUntil) return;
    keptForTab(RETURNED_KEY, pass.passUntil);
    location.assign(pass.returnUrl);
  }

  const lacksPass = () => place?.state === 'inside' && place.passUntil !== pass?.passUntil;

  const known = () =>
    JSON.stringify([place?.state, place?.position, place?.answerBy, place?.passUntil, pass]);

  /** Reads the place again soon, once; less and less often while it is the same. */
  function askSoon(/** @type {number} */ withinMs) {
    if (isAsking || isPaused || performance.now() < askAt) return;
    isAsking = true;
    setTimeout(async () => {
      const before = known();
      await readPlace().finally(() => (isAsking = false));
      unchanged = known() === before ? unchanged + 1 : 0;
      if (unchanged > 0) askAt = performance.now() + jittered(askAgainMs(unchanged));
    }, Math.random() * withinMs);
  }

  /** The times of whoever is called or inside have changed. */
  function hearResumed() {
    if (place?.state !== 'called' && place?.state !== 'inside') return;
    unchanged = 0;
    askAt = Number.NEGATIVE_INFINITY;
    askSoon(SPREAD_MS);
  }

  /** @param {RoomStatus} status */
  function hear(status) {
    if (room && status.at < room.at) return;
    const wasDrawn = room && room.state !== 'gathering' && room.state !== 'drawing';
    const isDrawn = status.state !== 'gathering' && status.state !== 'drawing';
    const goesOn = room?.state === 'paused' && status.state !== 'paused';
    room = status;
    if (goesOn) hearResumed();
    if (place?.state === 'entered' && isDrawn) askSoon(wasDrawn ? jittered(SPREAD_MS) : SPREAD_MS);
    if (place?.state === 'waiting') {
      const position = place.position ?? 0;
      if (position <= status.calledUpTo) askSoon(0);
      else if (status.state === 'open') wait = steady(wait, waitOf(aheadOf(position, status), status));
    }
    onChange();
  }

  async function readRoom() {
    try {
      hear((await call('GET', `${path}/room`)).body);
    } catch {
      // The next one comes by the socket, or when the page asks again.
    }
  }

  /** @param {() => Promise<unknown>} ask */
  async function act(ask) {
    if (!currentSession()) return openAccount();
    if (isBusy) return;
    isBusy = true;
    try {
      await ask();
    } catch (error) {
      const name = error instanceof Problem ? error.name : '';
      const reasons = /** @type {Record<string, string>} */ ({
        ...texts.refusal,
        ...texts.place.refused,
        ...texts.room.refused,
      });
      toast(reasons[name] ?? texts.noAnswer);
    } finally {
      isBusy = false;
    }
    wait = null;
    unchanged = 0;
    askAt = Number.NEGATIVE_INFINITY;
    await readPlace();
  }
  main.addEventListener('click', () =>
    act(async () => {
      if (main.dataset.action === 'come') return await askForPass();
      const { code } = withCode();
      // A header takes no other characters, and no code has any.
      const headers = { ...shown(), ...(code && { 'Sale-Code': code.replace(/[^!-~ ]/g, '?') }) };
      const take = (query = '') =>
        asBuyer((token) => call('POST', `${path}/places${query}`, { token, headers }));
      try {
        await take();
      } catch (error) {
        if (!code || !(error instanceof Problem && error.name === 'not-admitted')) throw error;
        // A server of the version before takes the code only here, where addresses are logged. The next version does not need this.
        await take(`?code=${encodeURIComponent(code)}`);
      }
    }),
  );
  quit.addEventListener('click', () =>
    act(() => asBuyer((token) => call('DELETE', `${path}/places/mine`, { token }))),
  );

  /** The call is spoken at once, the place rarely. @param {RoomView} seen */
  function speak({ kind, text: said, note: more, message: told }) {
    const isNew = kind !== spoken.kind || told !== spoken.told;
    if (!isNew && (kind === 'called' || kind === 'inside')) return;
    if (!isNew && performance.now() - spoken.at < SPEAK_EVERY_MS) return;
    Object.assign(spoken, { kind, told, at: performance.now() });
    setText(alarm, kind === 'called' ? said : '');
    setText(polite, kind === 'called' ? told : `${said} ${more} ${told}`);
  }

  return {
    mayTakePlace: () => place === null || place.state === 'left',

    /** The pass of a person inside. */
    pass: () => pass?.pass,
    hear,

    /** Reads the place anew. */
    refresh: readPlace,

    /** While there is a connection nothing has to be read: everybody is told. @param {{ isUp: boolean }} how */
    async poll({ isUp }) {
      if (!isUp || room === null) await readRoom();
      if (!isUp || performance.now() - readAt > READ_PLACE_MS) await readPlace();
    },

    /** @param {SaleView} view */
    render(view) {
      const wasPaused = isPaused;
      isPaused = view.status === 'paused';
      if (wasPaused && !isPaused) hearResumed();
      const seen = roomView(view, place, room, wait, { texts, clock: shortCountdown });
      const isInside = place?.state === 'inside';
      // The place is known a moment before the pass, without which a press would be refused.
      const showsBuy = (isInside && pass !== null && !pass.returnUrl) || shownOutside.has(view.buy);
      show(byId('buy'), showsBuy);
      show(byId('buy-note'), showsBuy);
      if (!showsBuy) show(byId('stepper'), false);
      show(section, seen !== null);
      show(main, Boolean(seen?.action));
      if (!seen) return;
      const end = place?.state === 'called' ? place.answerBy : isInside ? place?.passUntil : undefined;
      if ((end && Date.parse(end) <= serverNow()) || lacksPass()) askSoon(2_000);
      if (seen.kind === 'called') document.title = `${texts.room.yourTurn} · ${texts.brand}`;
      section.dataset.kind = seen.kind;
      setText(text, seen.text);
      setText(note, seen.note);
      setText(message, seen.message);
      show(message, seen.message !== '');
      main.dataset.action = seen.action ?? '';
      const signIn = view.sale.site ? texts.signIn : texts.buySignIn;
      if (seen.action) setText(main, view.isSignedIn ? texts.room.actions[seen.action] : signIn);
      show(quit, seen.mayLeave);
      show(onward, isInside && pass?.returnUrl !== undefined);
      speak(seen);
    },
  };
}
