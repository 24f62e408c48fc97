/** Explains a draw, and recomputes it in this browser for who asks, and says whether it agrees. */

/** @import { Draw } from '../../sale/contract.ts' */

import { asBuyer, currentSession, onSessionChange } from '../account/session.js';
import { call, fetchSale, Problem, Unreachable } from '../shared/api.js';
import { jittered, serverNow, syncWithPage } from '../shared/clock.js';
import { byId, decoded, element, setText, show } from '../shared/dom.js';
import { countdown, dateTime } from '../shared/format.js';
import { openRetry } from '../shared/retry.js';
import { mountShell } from '../shared/shell.js';
import { texts } from '../shared/texts.js';
import { checkDraw } from './check-draw.js';
import { drawInWords } from './draw-words.js';

const id = decoded(location.pathname.split('/')[2] ?? '');
const saleId = encodeURIComponent(id);
const fileUrl = `/api/sales/${saleId}/draw/file`;
const POLL_MS = 3_000;
const retry = openRetry(() => load());
const mineRetry = openRetry(() => showMine());
/** As the page shows it, until the first answer of the API. */
let draw = drawOfPage();

mountShell();
byId('recompute').addEventListener('click', recompute);
byId('file').setAttribute('href', fileUrl);

/** @returns {Draw | null} what the server has put into the page; null while MongoDB did not answer */
function drawOfPage() {
  const text = document.getElementById('snapshot')?.textContent;
  if (!text) return null;
  /** @type {Draw & { serverTime: string }} */
  const snapshot = JSON.parse(text);
  syncWithPage(snapshot.serverTime);
  return snapshot;
}

async function load() {
  try {
    // The device's own clock may be wrong.
    if (!draw) await clockRead;
    /** @type {Draw} */
    const found = (await call('GET', `/sales/${saleId}/draw`)).body;
    draw = found;
    retry.done();
    const { steps } = drawInWords(found, serverNow(), { texts, dateTime });
    const drawn = element('div', {}, ...steps.map((step) => element('p', {}, step)));
    if (byId('explained').innerHTML !== drawn.innerHTML) byId('explained').replaceChildren(...drawn.children);
    if (found.state === 'drawn') return offerRecomputing();
    tellWhen();
    setTimeout(load, jittered(POLL_MS));
  } catch (error) {
    const isMissing = error instanceof Problem && !error.isPassing;
    setText(byId('verdict'), isMissing ? texts.draws.missing : texts.loadFailed);
    if (!isMissing) retry.soon(error);
  }
}

/** Counts down to the draw; a screen reader hears the time of it once, and not every second. */
function tellWhen() {
  if (!draw) return;
  const { leftMs, verdict } = drawInWords(draw, serverNow(), { texts, dateTime });
  show(byId('countdown'), leftMs > 0);
  setText(byId('countdown'), leftMs > 0 ? countdown(leftMs) : '');
  setText(byId('verdict'), verdict);
}

/** The list may be long, so it is fetched only by who asks for it. */
function offerRecomputing() {
  clearInterval(ticking);
  show(byId('countdown'), false);
  setText(byId('verdict'), '');
  byId('recompute').setAttribute('aria-disabled', 'false');
  show(byId('recompute'), true);
  show(byId('file'), true);
}

async function recompute() {
  if (byId('recompute').getAttribute('aria-disabled') === 'true') return;
  // Browsers have it only over an encrypted connection.
  if (globalThis.crypto?.subtle === undefined) return setText(byId('verdict'), texts.draws.notHere);
  show(byId('recompute'), false);
  setText(byId('verdict'), texts.draws.computing);
  try {
    const answer = await fetch(fileUrl);
    if (!answer.ok) throw new Error(`The file was answered ${answer.status}`);
    const checks = await checkDraw(await answer.json());
    byId('checks').replaceChildren(
      ...Object.entries(checks).map(([name, holds]) => {
        const claim = texts.draws.checks[/** @type {keyof typeof texts.draws.checks} */ (name)];
        return element('li', {}, `${holds ? '✓' : '✗'} ${claim}`);
      }),
    );
    const agrees = Object.values(checks).every(Boolean);
    setText(byId('verdict'), agrees ? texts.draws.agrees : texts.draws.differs);
  } catch {
    setText(byId('verdict'), texts.noAnswer);
    show(byId('recompute'), true);
  }
}

async function fetchMine() {
  try {
    const mine = await asBuyer((token) => call('GET', `/sales/${saleId}/entries/mine`, { token }));
    mineRetry.done();
    return mine;
  } catch (error) {
    const isPassing = error instanceof Unreachable || (error instanceof Problem && error.isPassing);
    if (isPassing) mineRetry.soon(error);
    return null;
  }
}

async function showMine() {
  mineRetry.hold();
  const mine = currentSession() ? await fetchMine() : null;
  const { pseudonym, drawn } = mine?.body ?? {};
  setText(byId('mine'), pseudonym ? texts.draws.mine(pseudonym, drawn ?? null) : '');
}

const ticking = setInterval(tellWhen, 1_000);
onSessionChange(showMine);
// For the server's clock, which the countdown follows.
const clockRead = fetchSale(id).catch(() => {});
// Nothing of a draw changes once it is made.
if (draw?.state === 'drawn') offerRecomputing();
else load();
await showMine();
