/** The page of one sale: connects its state to the API, the socket and the buttons. */

/** @import { OrderPage, SaleSnapshot } from '../../sale/contract.ts' */
/** @import { BuyState } from './buy-state.js' */

import { openAccount } from '../account/account.js';
import { asBuyer, currentSession, NotSignedIn, onSessionChange, renew } from '../account/session.js';
import { announceChoice, announceStock } from '../shared/announcements.js';
import { fetchOrders, fetchPuzzle, fetchSale, Problem } from '../shared/api.js';
import { jittered, serverNow, syncWithPage, untilNextSecond } from '../shared/clock.js';
import { byId, decoded, setText, show } from '../shared/dom.js';
import { addressOfOrder, withStock } from '../shared/items.js';
import { openLive } from '../shared/live.js';
import { openRetry } from '../shared/retry.js';
import { mountShell, showConnectionLost } from '../shared/shell.js';
import { texts } from '../shared/texts.js';
import { toast } from '../shared/toast.js';
import { openCheckout } from './checkout.js';
import { openPuzzle } from './puzzle.js';
import { openSaleState } from './sale-state.js';
import { focusPicker, loadPicker, pressable, renderSale } from './sale-view.js';

const POLL_WHILE_DOWN_MS = 3_000;
/** Polls rarely while connected, only in case a message was lost. */
const POLL_WHILE_UP_MS = 60_000;
/** The buyer's own time is asked for again no more often, and sooner by whoever comes back to the page. */
const CHECK_DOOR_MS = 40_000;
const CHECK_DOOR_BACK_MS = 5_000;
/** The limit counts all of a buyer's orders; the page reads up to 1,000 of them. */
const MAX_ORDER_PAGES = 10;
/** How soon a snapshot is fetched when a stock message does not tell what happened. */
const FETCH_SNAPSHOT_MS = 2_000;

const saleId = decoded(location.pathname.split('/')[2] ?? '');
/** Staff look at a draft as it will be. */
const isPreview = new URLSearchParams(location.search).has('preview');
/** Where this tab keeps the chosen item, for a reload before the sale opens. */
const choiceKey = `stampede.choice.${saleId}`;
const state = openSaleState(saleId, keptChoice());
let isUp = false;
let isReachable = true;
/** Counts `sale` messages, since an answer requested before a message may be older than it. */
let saleMessages = 0;
/**
 * Loaded where there is a draw, a waiting list or a waiting room.
 * @type {ReturnType<typeof import('./place.js').openPlace> | ReturnType<typeof import('./room.js').openRoom> | null}
 */
let place = null;
/** Loaded where the sale has phases. @type {ReturnType<typeof import('./access.js').openAccess> | null} */
let door = null;
let knownPhases = '[]';
/** The id of the buyer who has confirmed the address since the session began. @type {string | null} */
let verifiedId = null;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let tick;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let poll;
const retry = openRetry(() => refresh());
const ordersRetry = openRetry(() => refreshOrders());

const puzzle = openPuzzle({
  fetchPuzzle: () => asBuyer((token) => fetchPuzzle(token, saleId)),
  now: serverNow,
});
const shown = () => puzzle.headers(currentSession()?.user.id);

const checkout = openCheckout(saleId, {
  shown,
  onChange: draw,
  onOutcome(outcome, purchase) {
    if (outcome.kind === 'settled') state.addOrder(outcome.order);
    if (outcome.kind === 'refused') {
      state.setRefusal(outcome.problem, purchase, serverNow());
      place?.refresh();
      door?.refresh();
      refresh();
    }
    draw();
    // On a phone the order card is below the fold.
    if (outcome.kind !== 'signed-out') byId('order').scrollIntoView({ block: 'nearest' });
  },
  onSettledElsewhere: refreshOrders,
});

/** Without storage, which a browser may block, the choice is lost with a reload. */
function keptChoice() {
  try {
    return sessionStorage.getItem(choiceKey);
  } catch {
    return null;
  }
}

/** @param {string} itemId */
function keepChoice(itemId) {
  try {
    sessionStorage.setItem(choiceKey, itemId);
  } catch {
    // It is lost with a reload.
  }
}

function draw() {
  clearTimeout(tick);
  const view = state.view({
    now: serverNow(),
    isReachable,
    isSignedIn: currentSession() !== null,
    isVerified: currentSession()?.user.emailVerified === true || verifiedId === currentSession()?.user.id,
    access: door?.access() ?? null,
    pending: checkout.pending(),
    progress: checkout.progress(),
  });
  if (!view) return;
  renderSale(view);
  door?.render(view);
  place?.render(view);
  const mayBuy = view.sale.mode === undefined && view.remaining > 0 && !checkout.pending();
  if (mayBuy || place?.mayTakePlace()) puzzle.prepare(view.sale, currentSession()?.user.id);
  announceStock(view.sale, view.status);
  announceChoice(view.choice, view.buy === 'choose-another' ? byId('buy-note').textContent : '');
  const moments = [view.sale.opensAt, view.sale.closesAt, view.heldUntil ?? []].flat();
  tick = setTimeout(draw, Math.min(...moments.map(untilNextSecond)));
}

/** @param {SaleSnapshot} snapshot @param {{ isWhole: boolean }} [how] */
function update(snapshot, how = { isWhole: true }) {
  if (state.sale()?.stock === 0 && snapshot.stock > 0) toast(texts.backInStock);
  const needsSnapshot = state.updateSale(snapshot, serverNow(), how);
  draw();
  if (!needsSnapshot) return;
  clearTimeout(poll);
  poll = setTimeout(refresh, jittered(FETCH_SNAPSHOT_MS));
}

/** Starts from what the server has shown, so that the page lives before the first answer of the API, or without one. */
async function begin() {
  const text = document.getElementById('snapshot')?.textContent;
  if (!text || isPreview) return;
  /** @type {SaleSnapshot} */
  const snapshot = JSON.parse(text);
  syncWithPage(snapshot.serverTime);
  await loadPicker(snapshot);
  await Promise.all([loadPlace(snapshot), loadDoor(snapshot)]);
  if (!state.sale()) update(snapshot);
}

async function refresh() {
  clearTimeout(poll);
  retry.hold();
  /** @type {unknown} */
  let failure = null;
  const messagesBefore = saleMessages;
  try {
    const snapshot = await (isPreview ? asBuyer((token) => fetchSale(saleId, token)) : fetchSale(saleId));
    // The page is drawn with the picker at once, so that nothing moves afterwards.
    await loadPicker(snapshot);
    await Promise.all([loadPlace(snapshot), loadDoor(snapshot)]);
    if (messagesBefore !== saleMessages) return refresh();
    isReachable = true;
    update(snapshot);
    door?.keepUp(CHECK_DOOR_MS);
    delete byId('main').dataset.loading;
    show(byId('missing'), false);
  } catch (error) {
    isReachable = error instanceof Problem;
    const isMissing = error instanceof Problem && !error.isPassing;
    if (!isMissing) failure = error;
    if (!state.sale()) {
      setText(byId('missing-text'), isMissing ? texts.saleMissing : texts.loadFailed);
      show(byId('missing'), true);
    }
  }
  draw();
  clearTimeout(poll);
  if (failure) return retry.soon(failure);
  retry.done();
  poll = setTimeout(refresh, jittered(isUp ? POLL_WHILE_UP_MS : POLL_WHILE_DOWN_MS));
}

/** @param {SaleSnapshot} sale */
async function loadDoor(sale) {
  const phases = JSON.stringify(sale.phases ?? []);
  if (phases === knownPhases) return;
  const { openAccess } = await import('./access.js');
  if (phases === knownPhases) return;
  knownPhases = phases;
  door ??= openAccess(saleId, { beforeAsking: askWhetherVerified, onChange: draw });
  if (currentSession()) door.refresh();
}

/** @param {SaleSnapshot} sale */
async function loadPlace(sale) {
  if (place === null && sale.mode === 'room') {
    const { openRoom } = await import('./room.js');
    place ??= openRoom(saleId, { shown, withCode, onChange: draw });
  } else if (place === null && (sale.mode === 'draw' || sale.waitingList)) {
    const { openPlace } = await import('./place.js');
    const wanted = () => ({ ...state.wanted(), ...withCode() });
    place ??= openPlace(saleId, wanted, { shown, onChange: draw, chooseItem: focusPicker });
  }
  place?.poll({ isUp });
}

/** A session does not hear of an address that was confirmed elsewhere, so the account is asked where that matters. */
async function askWhetherVerified() {
  const user = currentSession()?.user;
  const { requiresVerifiedEmail = false, phases = [] } = state.sale() ?? {};
  const hasList = phases.some(({ access }) => access === 'list');
  if (!user || user.emailVerified || !(requiresVerifiedEmail || hasList)) return;
  try {
    const { fetchAccount } = await import('../account/account-api.js');
    const account = await asBuyer(fetchAccount);
    if (!account.emailVerified) return;
    verifiedId = account.id;
    draw();
    const session = currentSession();
    if (!hasList || session?.user.id !== account.id) return;
    // The server goes by the token, and a list counts confirmed addresses alone.
    await renew(session);
    await door?.refresh();
  } catch {
    // The press of Buy tells, or it is asked again.
  }
}

async function refreshOrders() {
  ordersRetry.hold();
  const buyerId = currentSession()?.user.id;
  try {
    /** @type {string | null} */
    let cursor = null;
    for (let pages = 0; pages < MAX_ORDER_PAGES; pages++) {
      /** @type {string | null} */
      const after = cursor;
      /** @type {OrderPage} */
      const page = await asBuyer((token) => fetchOrders(token, after));
      if (currentSession()?.user.id !== buyerId) return;
      state.addOrders(page.orders);
      draw();
      cursor = page.nextCursor;
      if (cursor === null) break;
    }
    ordersRetry.done();
  } catch (error) {
    if (error instanceof NotSignedIn) ordersRetry.done();
    else ordersRetry.soon(error);
  }
}

/** What may let the buyer into a phase. */
const withCode = () => door?.shown() ?? {};

const shownState = () => /** @type {BuyState} */ (byId('buy').dataset.state);

async function press() {
  if (shownState() === 'not-yet' && door?.isUnchecked()) {
    // The press itself ends the typing, so that the answer is not there yet.
    await door.refresh();
    if (door.isUnchecked()) return toast(texts.noAnswer);
  }
  const buy = shownState();
  if (!pressable.has(buy)) return;
  if (state.sale()?.status === 'draft') return toast(texts.previewOnly);
  if (buy === 'sign-in') return openAccount();
  if (buy === 'choose' || buy === 'choose-another') return focusPicker();
  if (buy === 'stalled') return checkout.retry();
  if (buy === 'held') return location.assign(`${addressOfOrder(state.newestOrder()?.id ?? '')}#pay`);
  state.clearRefusal();
  const pass = place?.pass();
  checkout.start({ ...state.wanted(), ...(pass && { pass }), ...withCode() });
}

function pressSecondary() {
  const { action } = byId('second').dataset;
  if (action === 'sign-in') openAccount('sign-up');
  if (action === 'verify') return location.assign('/account');
  if (action === 'forget') checkout.forget();
  if (action === 'more') state.wantMore();
  draw();
  if (action !== 'sign-in') byId('buy').focus();
}

/** @param {number} wanted */
function setQuantity(wanted) {
  state.setQuantity(wanted);
  draw();
}

mountShell();
byId('buy').addEventListener('click', press);
byId('second').addEventListener('click', pressSecondary);
byId('fewer').addEventListener('click', () => setQuantity(state.quantity() - 1));
byId('more').addEventListener('click', () => setQuantity(state.quantity() + 1));
const typed = () => /** @type {HTMLInputElement} */ (byId('quantity')).value;
byId('quantity').addEventListener('input', () => typed() !== '' && setQuantity(Number(typed())));
byId('quantity').addEventListener('change', () => setQuantity(Number(typed())));

byId('item-options').addEventListener('change', ({ target }) => {
  if (!(target instanceof HTMLInputElement)) return;
  const itemId = target.value;
  keepChoice(itemId);
  state.choose(itemId);
  draw();
});
onSessionChange(() => {
  state.clearBuyer();
  place?.refresh();
  door?.refresh();
  draw();
  if (isPreview) refresh();
  askWhetherVerified();
  refreshOrders();
  checkout.resume();
});
// A tab that was hidden or restored from the back/forward cache is out of date.
function comeBack() {
  door?.keepUp(CHECK_DOOR_BACK_MS);
  refresh();
}
document.addEventListener('visibilitychange', () => document.hidden || comeBack());
addEventListener('pageshow', (event) => event.persisted && comeBack());

begin();
refresh().then(() => {
  askWhetherVerified();
  checkout.resume();
});
refreshOrders();
openLive({
  saleId,
  onUp() {
    isUp = true;
    showConnectionLost(false);
    checkout.retryNow();
    refresh();
    refreshOrders();
  },
  onDown() {
    isUp = false;
    showConnectionLost(true);
    refresh();
  },
  onStock(message) {
    const sale = state.sale();
    if (!sale || message.saleId !== saleId || message.stockVersion <= sale.stockVersion) return;
    update(withStock(sale, message), { isWhole: false });
  },
  onSale(snapshot) {
    if (snapshot.id !== saleId) return;
    saleMessages += 1;
    update(snapshot);
  },
  onCrowd({ saleId: id, people }) {
    if (id !== saleId) return;
    state.setPeople(people);
    draw();
  },
  onRoom(status) {
    if (status.saleId === saleId) place?.hear(status);
  },
  onOrder(order) {
    checkout.receiveOrder(order);
    state.addOrder(order);
    place?.refresh();
    draw();
  },
});
